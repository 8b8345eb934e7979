"""Members of a shop get its notifications in Telegram: each once, whatever Telegram answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from contracts.shop import NotificationRequested
from libs.eventsourcing.codec import codec_of
from libs.eventsourcing.log import Metadata, RecordedEvent
from libs.messaging.inbox_feed import InboxFeed
from libs.messaging.inbox_worker import InboxWorker
from libs.testing.clock import NOON
from libs.testing.polling import eventually
from services.gateway.bot.notifications.reactions import message_sender, notifications
from tests.libs.messaging.wires import StoredRecord, encode_headers
from tests.services.gateway.bot_api import error, result
from tests.services.gateway.shop_door import Door, Someone, projecting

TEXT = "Новый заказ № 123456789 с сайта на 15000 тенге"
LEFT = "SELECT count(*) FROM telegram_message"
SOON = "UPDATE telegram_message SET not_before = now() WHERE not_before IS NOT NULL"


@pytest.fixture
async def door(database: str) -> AsyncIterator[Door]:
    async with projecting(database) as made:
        yield made


@pytest.fixture
async def anna(door: Door) -> Someone:
    """The admin of a shop."""
    return await door.admin()


async def shop_of(door: Door, who: Someone) -> int:
    return int((await door.who_is(who)).json()["shop"]["id"])


async def manager(door: Door, boss: Someone, role: str = "manager") -> Someone:
    """Another member of the shop, whom the lists show."""
    made = await door.works_at(await shop_of(door, boss), role)

    async def is_listed() -> bool:
        return made.phone in await door.staff_by_phone(boss)

    await eventually(is_listed)
    return made


def record(shop: int, number: int) -> StoredRecord:
    """A notification for admins and managers as the shop's relay publishes it."""
    event = NotificationRequested(
        notification=f"order-{number}",
        kind="storefront_order",
        roles=("admin", "manager"),
        text=TEXT,
        order_id=number,
        customer_id=None,
        requested_at=NOON,
    )
    name, version, data = codec_of((NotificationRequested,)).encode(event)
    recorded = RecordedEvent(
        event_id=UUID(int=number),
        type=name,
        schema_version=version,
        data=data,
        occurred_at=NOON,
        position=number,
        xid=number,
        stream=f"notification-order-{number}",
        version=1,
        metadata=Metadata(tenant=f"shop-{shop}"),
        recorded_at=NOON,
    )
    headers = encode_headers("shop", recorded, number, number - 1)
    key = recorded.stream.encode()
    return StoredRecord("shop.notification", 0, number - 1, key, data, headers)


async def notify(door: Door, shop: int, number: int = 1) -> None:
    """Handle a notification that arrived."""
    pool, reaction = door.deps.system, notifications(door.deps)
    await InboxFeed(pool, reaction).store([record(shop, number)])
    await InboxWorker(pool, reaction).react()


@asynccontextmanager
async def sender(door: Door) -> AsyncIterator[None]:
    """A worker that sends, until the end of the block."""
    stop = asyncio.Event()
    async with message_sender(door.deps) as run:
        running = asyncio.ensure_future(run(stop))
        try:
            yield
        finally:
            stop.set()
            await running


async def left(door: Door) -> int:
    return int(await door.deps.system.fetchval(LEFT))


def got(door: Door) -> list[int]:
    """The chats that got the notification, in order of their ids."""
    return sorted(one["chat_id"] for one in door.api.messages if one["text"] == TEXT)


async def test_active_members_with_the_role_get_a_notification_once(
    door: Door, anna: Someone
) -> None:
    shop, stranger = await shop_of(door, anna), await door.admin()
    bella, _ = await manager(door, anna), await manager(door, anna, "florist")
    await manager(door, anna, "manager off")
    silent = await manager(door, anna)
    await door.deps.code_context.links.unlink(silent.phone)

    async with sender(door):
        for _ in range(2):
            await notify(door, shop)
        await eventually(lambda: left(door), 0)

    assert got(door) == sorted([anna.telegram_id, bella.telegram_id])
    assert stranger.telegram_id not in got(door)


async def test_a_limited_message_waits_as_long_as_telegram_says(door: Door, anna: Someone) -> None:
    await notify(door, await shop_of(door, anna))
    door.api.limits.append(40)
    waits = "SELECT not_before - now() FROM telegram_message WHERE error IS NOT NULL"

    async with sender(door):
        pause: timedelta = await eventually(lambda: door.deps.system.fetchval(waits))
    assert timedelta(seconds=30) < pause <= timedelta(seconds=40)

    await door.deps.system.execute(SOON)
    # Another process: it does not remember that the chat is to be left alone.
    async with sender(door):
        await eventually(lambda: left(door), 0)
    assert got(door) == [anna.telegram_id]


async def test_a_message_is_sent_once_telegram_is_back_and_no_log_names_its_chat(
    door: Door, anna: Someone
) -> None:
    failures = 2

    async def away(_: web.Request) -> web.StreamResponse:
        nonlocal failures
        failures -= 1
        if not failures:
            door.api.crooked = None
        return error(502, "Bad Gateway")

    door.api.crooked = away
    with capture_logs() as logs:
        await notify(door, await shop_of(door, anna))
        async with sender(door):
            await eventually(lambda: left(door), 0)

    assert got(door) == [anna.telegram_id]
    assert len([one for one in logs if one["event"] == "notification not sent"]) == 2
    assert not any(secret in str(logs) for secret in (str(anna.telegram_id), anna.phone, TEXT))


async def test_a_member_who_blocked_the_bot_gets_nothing_and_is_not_tried_again(
    door: Door, anna: Someone
) -> None:
    bella = await manager(door, anna)
    door.api.blocked.add(anna.telegram_id)
    door.api.chats.discard(bella.telegram_id)
    await notify(door, await shop_of(door, anna))
    before = len(door.api.calls)

    async with sender(door):
        await eventually(lambda: left(door), 0)

    assert (got(door), len(door.api.calls) - before) == ([], 2)


async def test_a_crash_between_two_members_sends_nothing_twice(door: Door, anna: Someone) -> None:
    bella = await manager(door, anna)
    await notify(door, await shop_of(door, anna))

    async def sends_to_anna_alone(request: web.Request) -> web.StreamResponse:
        params = await request.json()
        if params["chat_id"] != anna.telegram_id:
            await asyncio.Event().wait()
        door.api.messages.append(params)
        return result({"message_id": 1})

    door.api.crooked = sends_to_anna_alone
    async with message_sender(door.deps) as run:
        dying = asyncio.ensure_future(run(asyncio.Event()))
        await eventually(lambda: left(door), 1)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
    door.api.crooked = None

    async with sender(door):
        await eventually(lambda: left(door), 0)
    assert got(door) == sorted([anna.telegram_id, bella.telegram_id])


async def test_a_lost_answer_of_telegram_repeats_the_message_of_that_member_only(
    door: Door, anna: Someone
) -> None:
    bella = await manager(door, anna)
    await notify(door, await shop_of(door, anna))
    lost: list[Any] = []

    async def loses_one(request: web.Request) -> web.StreamResponse:
        params = await request.json()
        door.api.messages.append(params)
        if params["chat_id"] == bella.telegram_id and not lost:
            lost.append(params)
            return error(500, "Internal Server Error")
        return result({"message_id": 1})

    door.api.crooked = loses_one
    async with sender(door):
        await eventually(lambda: left(door), 0)

    assert got(door) == sorted([anna.telegram_id, bella.telegram_id, bella.telegram_id])


async def test_a_message_that_telegram_refuses_for_long_is_parked(
    door: Door, anna: Someone
) -> None:
    await notify(door, await shop_of(door, anna))
    await door.deps.system.execute("UPDATE telegram_message SET attempts = 299")

    async def refuses(_: web.Request) -> web.StreamResponse:
        return error(401, "Unauthorized")

    door.api.crooked = refuses
    parked = "SELECT error FROM telegram_message WHERE not_before IS NULL"
    async with sender(door):
        reason = await eventually(lambda: door.deps.system.fetchval(parked))

    assert reason == "Telegram: refused"


async def test_without_a_bot_notifications_are_ignored(door: Door) -> None:
    settings = door.deps.settings.model_copy(update={"telegram_token": None})
    reaction = notifications(replace(door.deps, settings=settings))
    event = codec_of((NotificationRequested,)).decode(
        "NotificationRequested", 1, record(7, 1).value or b""
    )

    assert reaction.schedule_of(event) is None
