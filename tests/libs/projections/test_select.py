"""The events of a page are selected once, in the transaction that applies them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from contracts.envelope import Envelope
from libs.eventsourcing.tail import read_page
from libs.projections import checkpoints
from libs.projections.apply import apply_page
from libs.projections.checkpoints import MAIN
from tests.libs.messaging.lab import WRITER_CODEC, Numbered, order
from tests.libs.projections.shop import Shop


@dataclass
class Even:
    """Selects even numbers, fails on some, and records its calls."""

    unjudged: frozenset[int] = frozenset()
    calls: list[tuple[int, int]] = field(default_factory=list)
    """The transaction, and of how many events."""

    async def __call__(
        self, connection: Any, events: Sequence[Envelope[Any]]
    ) -> Sequence[Envelope[Any]]:
        xid = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
        self.calls.append((xid, len(events)))
        if any(one.event.n in self.unjudged for one in events):
            await connection.execute("SELECT 1 / 0")
        return [one for one in events if one.event.n % 2 == 0]

    __hash__ = object.__hash__


async def apply(shop: Shop, select: Even) -> None:
    await shop.runner()._checkpoint_names()
    models = [replace(model, select=select, codec=WRITER_CODEC) for model in shop.models]
    async with shop.pool.acquire() as connection:
        checkpoint = await checkpoints.read(connection, MAIN)
        assert checkpoint
        page = await read_page(connection, checkpoint.cursor, limit=100)
        await apply_page(connection, models, checkpoint, page, service="lab")


async def test_read_models_that_share_a_selection_run_it_once_a_page(shop: Shop) -> None:
    select = Even()
    await shop.append_numbers(range(10))
    await apply(shop, select)

    assert [count for _, count in select.calls] == [10]
    assert await shop.counted() == 5
    assert await shop.rows() == {order(n): [n if n % 2 == 0 else n + 5] for n in range(5)}


async def test_every_transaction_selects_anew(shop: Shop) -> None:
    select = Even()
    await shop.append_numbers(range(4))
    shop.ledger.cursed = True
    shop.tally.statement = "SELECT 1 / (SELECT count(*) FROM parked_events)"
    await apply(shop, select)

    # The first attempt failed; the second found out, in halves, what cannot be applied.
    whole = [xid for xid, count in select.calls if count == 4]
    assert len(whole) == len(set(whole)) == 2


@pytest.mark.parametrize("unjudged", [1, 2])
async def test_an_event_on_which_the_selection_fails_is_parked_alone(
    shop: Shop, unjudged: int
) -> None:
    select = Even(frozenset({unjudged}))
    await shop.append(order(unjudged), Numbered(unjudged))
    await shop.append(order(7), Numbered(8))
    await apply(shop, select)

    rows = await shop.pool.fetch("SELECT projection, stream FROM parked_events ORDER BY 1")
    assert [tuple(row) for row in rows] == [("ledger", order(unjudged)), ("tally", order(unjudged))]
    assert await shop.rows() == {order(7): [8]}
    assert await shop.counted() == 1
