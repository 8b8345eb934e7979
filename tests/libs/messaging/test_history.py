"""The path from log to read model under chaos, checked by a tested checker."""

import asyncio
import gc
import random
from collections.abc import Callable
from typing import Any

import pytest

from libs.testing.polling import eventually
from tests.libs.messaging.clients import ack_of, append_commands, command_of
from tests.libs.messaging.history import Ack, History, anomalies_of
from tests.libs.messaging.lab import Lab
from tests.libs.messaging.wires import lane, record, recorded

LOG = [
    recorded(1, "order-a", version=1),
    recorded(2, "order-b", version=1),
    recorded(3, "order-a", version=2),
    recorded(4, "order-a", version=3),
]
SENT = lane(LOG)
GOOD = History(
    acks=[Ack("order-a", (1,), 1), Ack("order-b", (2,), 1), Ack("order-a", (3, 4), 3)],
    logged=LOG,
    topic=SENT,
    table={"order-a": ((1, 3, 4), (1, 2, 3)), "order-b": ((2,), (1,))},
)
SWAPPED = [LOG[0], LOG[1], LOG[3], LOG[2]]

BAD: dict[str, tuple[History, str]] = {
    "acknowledged and gone": (GOOD.but(acks=[*GOOD.acks, Ack("order-c", (9,), 1)]), "lost"),
    "another version acknowledged": (GOOD.but(acks=[Ack("order-a", (3, 4), 4)]), "misplaced"),
    "twice in the log": (GOOD.but(logged=[*LOG, recorded(4, "order-a", version=4)]), "doubled"),
    "a version left out": (GOOD.but(logged=[*LOG, recorded(5, "order-a", version=5)]), "versions"),
    "versions against positions": (GOOD.but(logged=SWAPPED), "versions"),
    "not in the topic": (GOOD.but(topic=SENT[:3]), "unseen"),
    "a hole in the topic": (GOOD.but(topic=[*SENT[:1], *SENT[2:]]), "chain"),
    "in the topic alone": (GOOD.but(logged=LOG[:3]), "phantom"),
    "numbered twice": (GOOD.but(topic=[*SENT, record(LOG[3], 4, 5, 4)]), "doubled"),
    "sent again with other words": (
        GOOD.but(topic=[*SENT, record(recorded(5, "order-b", version=1), 4, 4, 3)]),
        "chain",
    ),
    "out of order in the topic": (GOOD.but(topic=lane(SWAPPED)), "order"),
    "numbers fall": (GOOD.but(topic=[SENT[1], SENT[0], *SENT[2:]]), "chain"),
    "not in the table": (GOOD.but(table={"order-b": ((2,), (1,))}), "unseen"),
    "counted twice": (GOOD.but(table={**GOOD.table, "order-b": ((2, 2), (1, 1))}), "doubled"),
    "in the table alone": (GOOD.but(table={**GOOD.table, "order-c": ((8,), (1,))}), "phantom"),
    "out of order in the table": (
        GOOD.but(table={**GOOD.table, "order-a": ((1, 4, 3), (1, 3, 2))}),
        "order",
    ),
}


def test_a_correct_history_has_no_anomalies() -> None:
    assert anomalies_of(GOOD) == []


def test_a_page_sent_twice_unchanged_is_no_anomaly() -> None:
    again = [record(event, 4 + n, n + 1, n) for n, event in enumerate(LOG)]

    assert anomalies_of(GOOD.but(topic=[*SENT, *again])) == []


@pytest.mark.parametrize("name", BAD)
def test_every_anomaly_is_detected(name: str) -> None:
    history, kind = BAD[name]

    assert kind in {found.partition(":")[0] for found in anomalies_of(history)}


class Chaos:
    """Two relays and two runners that are cancelled and restarted; backends are terminated."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self._lab = lab
        self._dice = random.Random(seed)
        makers: list[Callable[[], Any]] = [lab.relay, lab.relay, lab.runner, lab.runner]
        self._makers = makers
        self._running = [self._start(make) for make in makers]
        self.done = asyncio.Event()

    def _start(self, make: Callable[[], Any]) -> asyncio.Task[None]:
        return asyncio.create_task(make().run(asyncio.Event()))

    async def run(self) -> None:
        """Cause chaos until `done`; all components run on."""
        while not self.done.is_set():
            await asyncio.sleep(self._dice.random() * 0.3)
            if self._dice.random() < 0.3:
                await self._lab.terminate_backends()
                continue
            which = self._dice.randrange(len(self._makers))
            self._running[which].cancel()
            await asyncio.wait([self._running[which]])
            self._running[which] = self._start(self._makers[which])

    async def end(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.wait(self._running)


# A task that is cancelled while it connects cannot close its connection.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seed", [1, 2])
async def test_interruptions_lose_double_and_reorder_nothing(lab: Lab, seed: int) -> None:
    chaos, acks = Chaos(lab, seed), list[Ack]()

    def on_ack(client: int, number: int, version: int) -> None:
        acks.append(ack_of(command_of(seed, client, number), version))
        if len(acks) >= 800:
            chaos.done.set()

    breaking = asyncio.create_task(chaos.run())
    try:
        appending = (
            append_commands(lab.store, seed, client, first=0, on_ack=on_ack, stop=chaos.done)
            for client in range(8)
        )
        await asyncio.gather(*appending)
        await breaking
        events = sum(len(ack.values) for ack in acks)
        await eventually(lambda: _applied(lab), events)
        await eventually(lab.published, events)
    finally:
        await chaos.end()

    assert anomalies_of(await lab.history(acks)) == []
    gc.collect()


async def _applied(lab: Lab) -> int:
    return sum(len(seen) for seen in (await lab.rows()).values())
