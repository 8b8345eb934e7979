"""Poison in a real topic stops nobody but whom it concerns."""

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from libs.messaging import parking, unpark
from tests.libs.messaging.lab import Cursed, Foreign, Lab, Numbered, eventually, running


async def test_poison_of_every_kind_in_the_topic_stops_nobody_else(lab: Lab) -> None:
    projector = lab.projector()

    async def parked() -> int:
        return projector.progress.parked

    async with running(lab.relay(), projector):
        await lab.append("order-1", Numbered(1))
        await _produce_poison(lab)
        await lab.append("order-2", Foreign(2))
        await lab.append("order-3", Cursed(3), Numbered(4))
        await lab.append("order-1", Numbered(5))
        await eventually(lab.rows, {"order-1": [1, 5]})
        await eventually(parked, 6)
        lab.ledger.cursed = False
        assert await unpark.retry(lab.pool, lab.ledger.projection, ("demo", "order-3")) == 2
        await eventually(lab.rows, {"order-1": [1, 5], "order-3": [3, 4]})
        # Seen although nothing new was parked.
        await eventually(parked, 5)
        assert projector.progress.broken is None


async def _produce_poison(lab: Lab) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=lab.bootstrap)
    await producer.start()
    poison: Sequence[dict[str, Any]] = [
        {"key": b"order-1", "value": b"\xff\xfe"},
        {"key": b"order-1", "value": None},
        {"value": b"{}", "headers": [("tenant", b"\xff"), ("ce_id", b"")]},
        {"key": b"\x00", "value": b"{}", "headers": [("relay_seq", b"\x00")]},
    ]
    for one in poison:
        await producer.send_and_wait(lab.topic, partition=0, **one)
    await producer.stop()


async def test_a_projection_that_fails_everywhere_stops_and_goes_on_when_mended(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "CAP", 3)
    projector = lab.projector()

    async def broken() -> bool:
        return "TooManyParked" in (projector.progress.broken or "")

    for number in range(8):
        await lab.append(f"order-{number}", Cursed(number))
    async with running(lab.relay(), projector):
        await eventually(broken, True)
        lab.ledger.cursed = False
        await eventually(lambda: _count(lab), 8)
        await eventually(broken, False)


async def _count(lab: Lab) -> int:
    """How many streams are applied, now or after a retry."""
    for one in await parking.list_parked(lab.pool, "ledger"):
        await unpark.retry(lab.pool, lab.ledger.projection, (one.tenant, one.stream))
    return len(await lab.rows())
