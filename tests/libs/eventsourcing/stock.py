"""Orders of items of a limited stock, and a program that places them.

`python -m tests.libs.eventsourcing.stock <database> <orders> <item>...` places orders of two random
items each (of the one, if there is only one), many at once. It prints a line with the outcome of
each, and at the end how often it decided.
"""

import asyncio
import itertools
import os
import random
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg

from libs import failpoints
from libs.errors import Refused
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.decider import Decider
from libs.eventsourcing.execute_many import States, execute_many
from libs.eventsourcing.log import ANY, NO_STREAM, Log, Metadata
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore, ExecutedMany

METADATA = Metadata(tenant="demo")


@dataclass(frozen=True, slots=True)
class Stocked:
    """Pieces were added."""

    pieces: int


@dataclass(frozen=True, slots=True)
class Reserved:
    """A piece was reserved."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Placed:
    item_ids: list[str]


StockEvent = Stocked | Reserved | Placed


class SoldOut(Refused):
    """No piece of the item is left."""


@dataclass(frozen=True, slots=True)
class Reserve:
    order_id: str


def reserve(free: int, command: Reserve) -> list[StockEvent]:
    if not free:
        raise SoldOut
    return [Reserved(command.order_id)]


def pieces_after(free: int, event: StockEvent) -> int:
    match event:
        case Stocked(pieces):
            return free + pieces
        case Reserved():
            return free - 1
        case Placed():
            return free


ITEM: Decider[int, Reserve, StockEvent] = Decider(
    category="item", initial=0, decide=reserve, evolve=pieces_after
)
ORDER: Decider[bool, Sequence[str], StockEvent] = Decider(
    category="order",
    initial=False,
    decide=lambda is_placed, item_ids: [] if is_placed else [Placed([*item_ids])],
    evolve=lambda _, __: True,
)


class Shop:
    """The stock of a log, as one process uses it. `decided` counts the decisions."""

    def __init__(self, log: Log) -> None:
        self.store: EventStore[StockEvent] = EventStore(log, Codec([Stocked, Reserved, Placed]))
        self.decided = 0

    async def stock(self, *item_ids: str, pieces: int) -> None:
        for item_id in item_ids:
            await self.store.append(
                ITEM.stream(item_id), [Stocked(pieces)], expected=ANY, metadata=METADATA
            )

    async def place(
        self,
        *item_ids: str,
        order_id: str | None = None,
        command_id: UUID | None = None,
        expected: int | None = NO_STREAM,
    ) -> ExecutedMany[StockEvent]:
        """Place an order of a piece of each item, by default a new one."""
        order = order_id or str(uuid4())

        def decide(states: States) -> dict[str, list[StockEvent]]:
            self.decided += 1
            placed = ORDER.decide(states.of(ORDER, order), item_ids)
            reserved = {
                ITEM.stream(item_id): ITEM.decide(states.of(ITEM, item_id), Reserve(order))
                for item_id in item_ids
            }
            return {ORDER.stream(order): placed, **(reserved if placed else {})}

        return await execute_many(
            self.store,
            [(ORDER, order), *((ITEM, item_id) for item_id in item_ids)],
            decide,
            metadata=METADATA,
            expected={} if expected is None else {ORDER.stream(order): expected},
            command_id=command_id,
        )

    async def sold(self, orders: Iterable[Sequence[str]]) -> int:
        """Place orders of these items at once; how many had enough of all."""
        placing = (self.place(*item_ids) for item_ids in orders)
        outcomes = await asyncio.gather(*placing, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, SoldOut):
                raise outcome
        return sum(isinstance(outcome, ExecutedMany) for outcome in outcomes)


async def reservations(log: Log) -> Counter[str]:
    """The reserved pieces of each item; asserts that an order has all of its pieces or is none."""
    placed: dict[str, set[str]] = {}
    reserved: dict[str, set[str]] = {}
    pieces, sold = Counter[str](), Counter[str]()
    codec = Codec[StockEvent]([Stocked, Reserved, Placed])
    async for page in log.read_all():
        for one in page:
            _, _, key = one.stream.partition("-")
            match codec.decode(one.type, one.schema_version, one.data):
                case Placed(item_ids):
                    placed[key] = set(item_ids)
                case Reserved(order_id):
                    reserved.setdefault(order_id, set()).add(key)
                    sold[key] += 1
                case Stocked(added):
                    pieces[key] += added
    assert reserved == placed
    assert all(sold[item_id] <= pieces[item_id] for item_id in sold), (sold, pieces)
    return sold


def pairs(item_ids: Sequence[str], orders: int, seed: int = 0) -> list[Sequence[str]]:
    """Orders of two random items each, in random order."""
    dice = random.Random(seed)
    return [dice.sample(item_ids, min(2, len(item_ids))) for _ in range(orders)]


async def _main(database: str, orders: int, item_ids: Sequence[str], at_once: int = 50) -> None:
    async with asyncpg.create_pool(database, min_size=1, max_size=8) as pool:
        shop = Shop(PostgresLog(pool))
        waiting = iter(pairs(item_ids, orders, seed=random.getrandbits(32)))

        async def buyer() -> None:
            for wanted in waiting:
                order_id = str(uuid4())
                try:
                    await shop.place(*wanted, order_id=order_id)
                    _report("placed", order_id)
                except SoldOut:
                    _report("sold-out")

        await asyncio.gather(*itertools.starmap(buyer, [()] * at_once))
        _report("decided", shop.decided)


def _report(*words: object) -> None:
    # One write of one line: a reader sees all of it or nothing.
    os.write(sys.stdout.fileno(), f"{' '.join(map(str, words))}\n".encode())


if __name__ == "__main__":
    failpoints.arm()
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
