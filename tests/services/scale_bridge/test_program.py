"""The service as it is run, over a real broker: what is not ordered comes about by itself. And its
commands for facts that were parked."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from typer.testing import CliRunner

from contracts.scale_bridge import ScheduleRan
from deploy.local.ports import free_port
from deploy.local.postgres import query
from deploy.local.services import says_ready
from libs.clock import utc_now
from libs.messaging.dedup import Gap, Link
from libs.messaging.publisher import Publisher
from libs.messaging.topics import ensure_topics, read_topics
from libs.testing.databases import migrated
from libs.testing.polling import eventually
from libs.testing.services import whole_worker
from services.scale_bridge.__main__ import app
from services.scale_bridge.bootstrap import SERVICE
from services.scale_bridge.devices.domain.device import device_id_of
from services.scale_bridge.schedules.handlers import schedule
from services.shop.bootstrap import SERVICE as SHOP
from tests.libs.messaging.lab import publish
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.calendars import every
from tests.services.scale_bridge.pricing import ARTICLE, changed, delivery, recorded
from tests.services.scale_bridge.schedules.handlers.test_schedule import METADATA
from tests.services.scale_bridge.service import ENVIRONMENT, Service, a_device, open_service
from tests.services.shop.kit import open_shop
from tests.services.shop.products.catalogue import add

OURS = ("scale-bridge.", "shop.")


@asynccontextmanager
async def open_whole(
    url: str, kafka: str, *, topics: bool = True, **more: Any
) -> AsyncIterator[Service]:
    """The API and a whole worker: relay, projectors, bridge, schedules, healing, prices.

    Without `topics` none are made: nobody need be there.
    """
    different: dict[str, Any] = {
        "kafka_bootstrap_servers": kafka,
        "topic_prefix": f"t{uuid4().hex[:12]}",
        "heal_first_seconds": 0.2,
        "heal_longest_seconds": 1.0,
        "breaker_seconds": 0.5,
        "round_seconds": 0.1,
        "stale_wait_seconds": 60.0 if topics else 0.0,
        **more,
    }
    async with open_service(url, by_worker=True, **different) as service:
        if topics:
            specs = [spec for spec in read_topics() if spec.category.startswith(OURS)]
            await ensure_topics(kafka, service.settings.topic_prefix, specs)
        async with whole_worker(SERVICE, service.settings):
            yield service


async def test_what_was_done_is_listed_at_once_and_prices_arrive_after_a_power_cut(
    database: str, kafka_bootstrap: str
) -> None:
    """SCL-9, SCL-16, R24: answers wait for read models (§1.4); a price goes through broker, inbox,
    edit, failed upload, probe and healing."""
    async with (
        a_scale(3) as scale,
        open_whole(database, kafka_bootstrap) as service,
        service.client() as anna,
    ):
        device = await a_device(service, anna, scale, read=False)
        assert await device.is_listed_dirty() is False
        await device.fetch()
        assert await device.is_listed_dirty() is False
        await device.set_price(2, 7.0)
        assert await device.is_listed_dirty() is True
        await device.upload()
        assert await device.is_listed_dirty() is False
        history = await device.read("/operations")
        assert [one["outcome"] for one in history] == ["verified", "done"]
        assert scale.base.products[1]["price"] == 7.0

        async def state() -> str:
            [one] = (await anna.get("/devices/board")).json()["devices"]
            return str(one["state"])

        await eventually(state, "ok")
        await scale.power_cut()
        publisher = await Publisher.connect(
            kafka_bootstrap, service="shop", prefix=service.settings.topic_prefix
        )
        change = changed(4_250, valid_at=utc_now() - timedelta(seconds=1))
        to_come = changed(9_900, valid_at=utc_now() + timedelta(hours=1))
        # What no inbox holds comes before them.
        announced = (changed(article=50, changed_by="\0"), change, to_come)
        await publish(publisher, [recorded(one, n) for n, one in enumerate(announced, 1)], 1, {})
        await publisher.close()
        await eventually(state, "unreachable")

        await scale.power_on()

        await device.shows(42.5)
        await eventually(state, "ok")
        assert (await device.read("/shown?plu=2"))["shown"]["price"] == 42.5

        async def coming() -> list[str]:
            return [one["price_id"] for one in (await delivery(anna))["coming"]]

        await eventually(coming, [str(to_come.price_id)])


async def test_a_price_of_a_shop_arrives_on_the_scales_of_the_tenant_that_follows_it(
    database: str, postgres_url: str, kafka_bootstrap: str
) -> None:
    more: dict[str, Any] = {"currency": "KZT", "price_sources": ("demo=shop-7",)}
    with migrated(postgres_url, "shop") as shop_database:
        async with (
            a_scale(3) as scale,
            open_whole(database, kafka_bootstrap, **more) as service,
            service.client() as anna,
            open_shop(
                shop_database,
                by_worker=True,
                kafka_bootstrap_servers=kafka_bootstrap,
                topic_prefix=service.settings.topic_prefix,
            ) as shop,
            whole_worker(SHOP, shop.settings),
            shop.staff() as staff,
        ):
            device = await a_device(service, anna, scale)

            await add(staff, article=ARTICLE, retail_price=1_990)

            await device.shows(1990.0)


async def test_schedules_go_on_while_kafka_is_away(database: str) -> None:
    """R10: a new one begins, and one that had its run has the next."""
    nowhere = f"127.0.0.1:{free_port()}"
    async with (
        a_scale(3) as scale,
        open_whole(database, nowhere, topics=False) as service,
        service.client() as anna,
    ):
        device = await a_device(service, anna, scale, read=False)

        async def runs() -> int:
            return len(await service.events(ScheduleRan))

        for number in (1, 2):
            set_before = utc_now() - timedelta(minutes=number)
            command = every(number, device_id=device_id_of(device.number))
            await schedule.put(
                service.deps,
                replace(command, now=set_before),
                METADATA,
            )
            await eventually(runs, number)


async def test_the_program_gets_ready_and_stops_on_a_signal(
    empty_database: str, kafka_bootstrap: str
) -> None:
    prefix, port = f"t{uuid4().hex[:12]}", free_port()
    await ensure_topics(kafka_bootstrap, prefix, read_topics())
    given = ENVIRONMENT | {
        "DATABASE_URL": empty_database,
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "TILLSTREAM_TOPIC_PREFIX": prefix,
        "TILLSTREAM_PROFILE": "demo",
        "SCALE_BRIDGE_HTTP_PORT": str(port),
    }
    program = [sys.executable, "-m", "services.scale_bridge"]
    migrating = await asyncio.create_subprocess_exec(*program, "migrate", env=os.environ | given)
    assert await migrating.wait() == 0
    running = await asyncio.create_subprocess_exec(*program, "run", env=os.environ | given)
    try:
        await eventually(lambda: asyncio.to_thread(says_ready, port), poll_seconds=0.1)
    finally:
        running.terminate()
    assert await running.wait() == 0


SAVE = """INSERT INTO scale_bridge.inbox (reaction, tenant, event_id, stream, type, schema_version,
    data, metadata, occurred_at, recorded_at, subject, due_at, attempts, parked_at, error)
    VALUES ('price', 'demo', '%s', 'price-1', 'PriceChanged', 1, '{}', '{}', now(), now(),
    'article 51', now(), 6, now(), 'ValueError: poison')"""
FACT = UUID(int=7)


@pytest.fixture
def run(database: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command of the service, which has one parked fact."""
    query(database, f"SET tillstream.tenant = '*'; {SAVE % FACT}")
    given = ENVIRONMENT | {"DATABASE_URL": database, "COLUMNS": "200"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return lambda *words: CliRunner().invoke(app, ["inbox", *words])


def test_what_is_parked_is_listed_and_can_be_given_up(run: Any) -> None:
    listed = run("list")
    assert listed.exit_code == 0, listed.output
    assert all(word in listed.output for word in ("price", str(FACT), "article 51", "poison"))

    assert run("drop", "price", "demo", str(FACT)).exit_code == 0
    assert run("drop", "price", "demo", str(FACT)).exit_code == 1
    assert "nothing is parked, nothing waits" in run("list").output


def test_what_is_parked_can_be_tried_again(run: Any) -> None:
    assert run("retry", "price", "demo", str(FACT)).exit_code == 0
    assert run("retry", "price", "other", str(FACT)).exit_code == 1
    assert "nothing is parked, nothing waits" in run("list").output
    # Without a worker it waits, and after a while that is listed too.
    waiting = run("list", "--waiting-longer-than", "0").output
    assert all(word in waiting for word in ("waiting", str(FACT), "poison"))


GAP = Gap("missing", 3, Link("", "", 7, 5), 9, 4)
STOPPED = """INSERT INTO scale_bridge.subscription_positions
    (reaction, topic, partition, next_offset, stopped)
    VALUES ('price', 't.shop.price', 1, 4, '%s')"""


def test_a_gap_is_skipped_by_a_command_that_records_it(run: Any, database: str) -> None:
    assert "there are no gaps" in run("gaps").output
    query(database, STOPPED % msgspec.json.encode(GAP).decode())
    listed = run("gaps").output
    assert all(word in listed for word in ("stopped", "t.shop.price", "4–5", "4–9"))
    assert run("skip-gap", "price", "--reason", " ").exit_code == 2
    assert run("skip-gap", "price", "--partition", "0", "--reason", "a test").exit_code == 1

    skipped = run("skip-gap", "price", "--reason", "a test")
    assert skipped.exit_code == 0, skipped.output
    assert run("skip-gap", "price", "--reason", "a test").exit_code == 1
    assert all(word in run("gaps").output for word in ("skipped (missing)", "4–5", "a test"))
