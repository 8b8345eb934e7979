"""A read model with personal columns: it holds clear text until its person is forgotten, and a
rebuild does not bring it back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from contracts.envelope import Envelope, Sealed
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import ANY, Metadata
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.upsert import upsert
from libs.postgres.vault_keys import VaultKeys
from libs.projections.projection import Connection, Projection
from libs.projections.rebuild import Rebuild
from libs.projections.runner import Polling, ProjectionRunner
from libs.projections.versions import VersionSchemas
from libs.security.data_keys import ServiceKeys, Subject, text_of
from libs.security.sealing import generate_key
from libs.security.vault import Vault, VaultReader
from libs.testing.polling import eventually
from tests.libs.guests import STAY, migrate_inn
from tests.libs.messaging.lab import running

NOON: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
KEYS: Final = ServiceKeys([generate_key()])
READER: Final = VaultReader(KEYS)
PUT: Final = upsert(STAY, "guest_id", "name", "note")


@dataclass(frozen=True, kw_only=True)
class GuestArrived:
    """A guest has a room; what names the guest is sealed."""

    number: int
    guest_id: UUID
    name: Sealed
    note: Sealed | None = None


CODEC: Final = Codec[GuestArrived]([GuestArrived])


async def project(connection: Connection, events: Sequence[Envelope[GuestArrived]]) -> None:
    """One query opens the texts of the whole page."""
    subjects = [Subject(one.tenant, one.event.guest_id) for one in events]
    keys = await READER.keys_of(connection, subjects)
    rows = [
        {
            "tenant": one.tenant,
            "number": one.event.number,
            "guest_id": one.event.guest_id,
            "name": text_of(keys[subject].open(one.event.name)),
            "note": text_of(keys[subject].open(one.event.note)) or "",
        }
        for one, subject in zip(events, subjects, strict=True)
    ]
    await PUT.put(connection, rows)


STAYS: Final = Projection(
    name="stay", tables=("stay",), topics=("inn.stay",), codec=CODEC, project=project
)


@pytest.fixture
async def owner(empty_database: str, tmp_path: Path) -> AsyncIterator[Pool]:
    """Connections of the owner of an inn's tables."""
    await asyncio.to_thread(migrate_inn, empty_database, tmp_path, whole=True)
    async with await open_pool(
        empty_database,
        role=None,
        schema="inn",
        size=8,
        application_name="test",
        tenant_scope=SYSTEM,
    ) as pool:
        yield pool


async def names(pool: Pool) -> list[tuple[Any, ...]]:
    rows = await pool.fetch("SELECT name, note FROM stay ORDER BY number")
    return [tuple(row) for row in rows]


async def arrive(store: EventStore[GuestArrived], vault: Vault, number: int, name: str) -> Subject:
    """Append that a guest arrived; the guest."""
    guest = uuid4()
    key = await vault.key_for(Subject("demo", guest))
    arrived = GuestArrived(
        number=number, guest_id=guest, name=key.seal(name), note=key.seal("snores")
    )
    stream = f"stay-{UUID(int=number)}"
    await store.append(stream, [arrived], expected=ANY, metadata=Metadata(tenant="demo"))
    return Subject("demo", guest)


async def test_a_rebuild_after_forget_yields_erased_columns(owner: Pool) -> None:
    vault = Vault(VaultKeys(owner, [STAY]), KEYS)
    store: EventStore[GuestArrived] = EventStore(PostgresLog(owner), CODEC)
    anna = await arrive(store, vault, 0, "Anna")
    await arrive(store, vault, 1, "Boris")
    log = await owner.fetchval("SELECT string_agg(data::text, ' ') FROM events")
    assert not any(text in log for text in ("Anna", "Boris", "snores"))

    runner = ProjectionRunner(owner, [STAYS], service="inn", polling=Polling(standby=0.05))
    async with running(runner):
        await eventually(lambda: names(owner), [("Anna", "snores"), ("Boris", "snores")])
        await vault.forget(anna, by="admin", at=NOON)
        erased = [(None, ""), ("Boris", "snores")]
        assert await names(owner) == erased

        rebuild = Rebuild(owner, [STAYS], VersionSchemas("inn", "tillstream_inn"), service="inn")
        (difference,) = await rebuild.build()
        assert (difference.rows, difference.same) == (2, True)
        await rebuild.switch()

    assert await names(owner) == erased


@pytest.mark.parametrize(
    "rule",
    [
        "ADD CHECK (name <> 'Anna')",
        "ALTER COLUMN room SET NOT NULL",
    ],
)
async def test_an_event_that_cannot_be_applied_is_parked_without_its_texts(
    owner: Pool, rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await owner.execute(f"ALTER TABLE stay {rule}")
    vault = Vault(VaultKeys(owner, [STAY]), KEYS)
    await arrive(EventStore(PostgresLog(owner), CODEC), vault, 0, "Anna")

    async with running(ProjectionRunner(owner, [STAYS], service="inn")):
        await eventually(lambda: owner.fetchval("SELECT count(*) FROM parked_events"), 1)

    error = await owner.fetchval("SELECT error FROM parked_events")
    assert error
    for text in (error, capsys.readouterr().out):
        assert "Anna" not in text
        assert "snores" not in text
