"""Readers of other services' topics whose positions stood beside read models go on from there."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from contracts.shop import EVENTS
from libs.eventsourcing.codec import Codec
from libs.messaging import inbox, positions
from libs.messaging.dedup import Chain, Position
from libs.messaging.inbox_feed import InboxFeed
from libs.messaging.inbox_worker import InboxWorker
from libs.messaging.reaction import Reaction, Schedule
from libs.postgres import revisions
from libs.postgres.migrate import migrate
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.testing.clock import NOON
from tests.services.scale_bridge.pricing import changed, record, recorded

SERVICE = "scale_bridge"
BEFORE = "0010_follow_log"
TOPIC = "t.shop.price"

GENERATION = "INSERT INTO generations VALUES ($1, 1, 'live', $2::text::pg_snapshot)"
CHECKPOINT = "INSERT INTO checkpoints VALUES ($1, 1, $2, $3, $4, $5)"
PARKED_STREAM = """INSERT INTO parked_streams (projection, tenant, stream, reason, error)
    VALUES ('inbox-price', 'demo', 'price-51', 'undecodable', 'bad')"""
PARKED = """INSERT INTO parked
    (projection, tenant, stream, topic, partition, record_offset, key, headers, value)
    VALUES ('inbox-price', 'demo', 'price-51', $1, 0, $2, $3, $4, $5)"""
WAITING = """INSERT INTO inbox (reaction, tenant, event_id, stream, type, schema_version, data,
    metadata, occurred_at, recorded_at, subject, due_at) VALUES ('price', 'demo', $1, 'price-7',
    'PriceChanged', 1, $2, '{}', now(), now(), 'article 7', now() - interval '1 hour')"""


@pytest.fixture
async def pool(empty_database: str, tmp_path: Path) -> AsyncIterator[Pool]:
    """The database of an installation in which this has not been migrated, and what it held."""
    versions = tmp_path / "versions"
    versions.mkdir()
    for file in sorted((revisions.folder_of(SERVICE) / "versions").glob("0*.py")):
        if file.stem < BEFORE:
            (versions / file.name).write_text(file.read_text())
    migrate(SERVICE, empty_database, migrations=tmp_path)
    made = await open_pool(
        empty_database,
        role=None,
        schema=SERVICE,
        size=2,
        application_name="test",
        tenant_scope=SYSTEM,
    )
    async with made:
        yield made


async def fill(pool: Pool) -> None:
    """One reader from the beginning, one from the middle, one that read nothing yet."""
    for name, base in (("price", None), ("price-heard", "2:2:"), ("enrolment", "2:2:")):
        await pool.execute(GENERATION, f"inbox-{name}", base)
    for name, partition, offset, seq in (
        ("price", 0, 3, 4),
        ("price", 1, 0, None),
        ("price-heard", 0, 30, 41),
        ("enrolment", 0, 12, None),
    ):
        await pool.execute(CHECKPOINT, f"inbox-{name}", TOPIC, partition, offset, seq)
    await pool.execute(PARKED_STREAM)
    for number in (1, 2):
        one: Any = record(recorded(changed(number * 100), number))
        headers = [(name, base64.b64encode(value).decode()) for name, value in one.headers]
        await pool.execute(PARKED, TOPIC, one.offset, one.key, json.dumps(headers), one.value)
    data = Codec[Any](EVENTS).encode(changed(700, article=7))[2].decode()
    await pool.execute(WAITING, UUID(int=7), data)


async def test_an_old_installation_goes_on_where_it_was(pool: Pool, empty_database: str) -> None:
    await fill(pool)
    migrate(SERVICE, empty_database)

    first, unread = (TOPIC, 0), (TOPIC, 1)
    async with pool.acquire() as connection:
        assert await positions.read(connection, "price") == {
            first: Position(3, 0, (Chain("", "", 4, unlabelled=True),)),
            unread: Position(0),
        }
        assert await positions.read(connection, "price-heard") == {}
        assert await positions.read(connection, "enrolment") == {first: Position(12, 12)}
    assert await pool.fetchval("SELECT count(*) FROM generations") == 0
    assert await pool.fetchval("SELECT count(*) FROM parked_streams") == 0
    await assert_is_worked_off(pool)


async def assert_is_worked_off(pool: Pool) -> None:
    """What waited is done, what was parked once it is retried, what follows it after that, and
    what comes then is known to be new."""
    done: list[int] = []

    async def react(envelope: Any) -> None:
        done.append(envelope.event.amount)

    reaction: Reaction[Any] = Reaction(
        name="price",
        topics=("shop.price",),
        codec=Codec(EVENTS),
        schedule_of=lambda event: Schedule(str(event.article), NOON),
        react=react,
    )
    worker = InboxWorker(pool, reaction)
    while await worker.react():
        pass
    assert done == [700]
    async with pool.acquire() as connection:
        [parked] = await inbox.list_waiting(connection, longer_than=positions.RETENTION)
        assert (parked["error"], parked["parked"]) == ("undecodable: bad", True)
        assert await inbox.retry(connection, "price", "demo", parked["event_id"])
    while await worker.react():
        pass
    assert done == [700, 100, 200]
    again, new = [record(recorded(changed(amount), n)) for n, amount in ((4, 400), (5, 500))]
    place: Any = {"topic": TOPIC}
    moved = [type(one)(**(fields_of(one) | place)) for one in (again, new)]
    stored = await InboxFeed(pool, reaction).store(moved)
    assert (stored.messages, stored.repeated, stored.gaps) == (1, 1, {})


def fields_of(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}
