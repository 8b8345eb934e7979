"""Devices, catalogues, waiting prices and schedules of before the renames are gone on with."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from pydantic import SecretStr

from libs.eventsourcing.store import envelope
from libs.messaging import inbox
from libs.messaging.inbox_worker import InboxWorker
from libs.testing.polling import eventually
from libs.testing.read_models import apply, clear, rows_of
from services.scale_bridge.bootstrap import SERVICE
from services.scale_bridge.prices import reactions as prices
from tests.services.installation import SECRETS, restore
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.service import Service, open_service, open_working

OFFICE: Final = UUID("01a22c83-4be8-7422-9887-7e639439cd90")
"""The account that the devices belong to."""
SEAL_KEYS: Final = SecretStr(SECRETS["scale_seal_keys"])
CHANGED: Final = 4
"""The device with changes that it was not sent."""


@pytest.fixture
async def service(empty_database: str, tmp_path: Path) -> AsyncIterator[Service]:
    """The API and a worker on the old database."""
    await restore("scale_bridge", empty_database, tmp_path)
    async with open_working(empty_database, seal_keys=SEAL_KEYS) as opened:
        yield opened


async def test_devices_schedules_and_edits_are_there(service: Service) -> None:
    async with service.client(OFFICE) as client:
        names = [one["name"] for one in (await client.get("/devices")).json()]
        assert sorted(names) == ["behind", "scale-0", "scale-1", "scale-2", "scale-3"]
        assert (await client.get("/devices/1/schedule")).json()["at"] == ["03:30", "23:59"]
        assert (await client.get("/devices/3/profile")).json()["shop"] == "Центр"
        assert (await client.get("/devices/3/strictness")).json()["relaxed"] == ["chunks"]
        label = (await client.get(f"/devices/{CHANGED}/label")).json()
        assert "Состав: мука" in [one["value"] for one in label["messages"]]


async def test_a_scale_is_sent_what_was_changed_with_its_sealed_password(service: Service) -> None:
    async with service.client(OFFICE) as client, a_scale() as scale:
        moved = await client.put(f"/devices/{CHANGED}", json={"port": scale.port})
        assert moved.status_code == 200, moved.text

        answer = await client.get(f"/devices/{CHANGED}/products")

        assert answer.status_code == 200, answer.text


async def test_a_price_that_waited_is_carried_out_and_an_unreadable_one_is_dropped(
    service: Service,
) -> None:
    pool = service.deps.system
    reaction = prices.prices(service.deps)
    worker = InboxWorker(pool, reaction)
    waiting = "SELECT count(*) FROM inbox WHERE reaction = 'price' AND done_at IS NULL"
    assert await service.fetch_value(waiting) == 4
    assert (
        await service.fetch_value("SELECT count(*) FROM inbox WHERE reaction LIKE 'price-%'") == 0
    )

    await pool.execute("UPDATE inbox SET due_at = now() WHERE due_at > now()")
    while await worker.react():
        pass
    async with pool.acquire() as connection:
        [parked] = [
            one
            for one in await inbox.list_waiting(connection, longer_than=inbox.LEASE)
            if one["reaction"] == "price"
        ]
        assert await inbox.drop(connection, "price", "demo", parked["event_id"])

    assert await service.fetch_value(waiting) == 0
    async with service.client(OFFICE) as client:
        answer = await client.get("/prices/5/delivery")
    assert answer.status_code == 200, answer.text


async def test_operations_that_waited_end_once(service: Service) -> None:
    await eventually(service.all_ended)
    await service.assert_one_end_each()


async def test_read_models_say_what_the_log_of_before_says(
    empty_database: str, tmp_path: Path
) -> None:
    await restore("scale_bridge", empty_database, tmp_path)
    async with open_service(empty_database, seal_keys=SEAL_KEYS, by_worker=True) as service:
        context, projections = service.deps, SERVICE.projections(service.settings)
        tables = [table for model in projections for table in model.tables]
        before = await rows_of(context.system, tables)
        await clear(context.system, tables)
        events = [one async for page in context.store.log.read_all() for one in page]
        decoded = [envelope(one, context.store.decode(one)) for one in events]
        await apply(context.system, "scale_bridge", projections, decoded)
        assert await rows_of(context.system, tables) == before
