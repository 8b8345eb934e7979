"""The WebSockets of the staff's pages, on real servers and a real database (spec shop §4.8)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from libs.http.sockets import REFUSED
from libs.testing.polling import eventually
from tests.services.shop.gateway import Gateway
from tests.services.shop.kit import ShopKit, open_shop
from tests.services.shop.live.pages import Page, Process, serving
from tests.services.shop.orders.florist import PHONE, Florist
from tests.services.shop.production.board import Board

RECIPIENT = "Айгерим"
PRODUCTION = "/ws/production/7"


@pytest.fixture
async def process(shop: ShopKit) -> AsyncIterator[Process]:
    """An API process."""
    async with serving(shop) as opened:
        yield opened


@pytest.fixture
async def board(shop: ShopKit) -> AsyncIterator[Board]:
    """A member of the staff with all permissions."""
    async with shop.staff() as client:
        yield Board(client, shop)


async def order_of(florist: Florist, **fields: Any) -> int:
    """Place an order of a new product; its id."""
    product = await florist.product()
    return int((await florist.placed((product, 1), recipient_name=RECIPIENT, **fields))["id"])


async def received(page: Page, count: int) -> list[tuple[str, Any]]:
    """The types and the data of messages."""
    messages = [await page.next() for _ in range(count)]
    assert all(one["timestamp"] and one["event_id"] for one in messages)
    return [(one["type"], one["data"]) for one in messages]


async def test_a_page_is_greeted_and_sees_a_new_order_as_the_list_has_it(
    process: Process, board: Board
) -> None:
    async with process.listening() as (page, hello):
        order_id = await order_of(board)
        ((kind, data),) = await received(page, 1)

    hello.pop("timestamp")
    assert hello == {"type": "connection", "status": "connected", "resumed": False, "shop_id": 7}
    (listed,) = (await board.client.get("/api/orders/")).json()["items"]
    assert (kind, data) == ("order_created", listed)
    assert (data["id"], data["customer_phone"]) == (order_id, PHONE)


async def test_moves_of_an_order_are_told_with_both_states(process: Process, board: Board) -> None:
    order_id = await order_of(board)
    await board.shop.caught_up()
    async with process.listening() as (page, _):
        await board.move(order_id, "paid")
        await board.client.post(
            f"/api/orders/{order_id}/rollback-status",
            json={"target_status": "new", "reason": "ошибка"},
        )
        await board.client.post(
            f"/api/orders/{order_id}/cancel", json={"cancellation_reason": "передумал"}
        )
        messages = await received(page, 3)

    moves = [("new", "paid"), ("paid", "new"), ("new", "issue")]
    assert messages == [
        ("status_changed", {"order_id": order_id, "old_status": old, "new_status": new})
        for old, new in moves
    ]


async def test_an_edited_order_is_sent_as_it_is_now(process: Process, board: Board) -> None:
    order_id = await order_of(board)
    await board.shop.caught_up()
    async with process.listening() as (page, _):
        path = f"/api/orders/{order_id}"
        await board.client.patch(path, json={"recipient_name": "Дана"})
        ((kind, data),) = await received(page, 1)

    assert (kind, data["id"], data["recipient_name"]) == ("order_updated", order_id, "Дана")


async def test_pages_at_both_processes_hear_and_those_of_another_shop_do_not(
    database: str, gateway: Gateway, shop: ShopKit, process: Process, board: Board
) -> None:
    beside_url = f"{database}?application_name=beside"
    async with (
        open_shop(beside_url, jwks_url=gateway.jwks_url) as beside,
        serving(beside) as other_process,
        process.listening() as (here, _),
        other_process.listening() as (there, _),
        other_process.page("/ws/orders/8", tenant="shop-8") as stranger,
        shop.staff(number=8) as other,
    ):
        assert (await stranger.next())["shop_id"] == 8
        order_id = await order_of(board)
        ((_, first),) = await received(here, 1)
        ((_, second),) = await received(there, 1)
        others = await order_of(Florist(other))
        ((_, third),) = await received(stranger, 1)

    assert first == second
    assert (first["id"], third["id"]) == (order_id, others)


async def test_a_page_that_reconnects_gets_what_it_missed_once(
    process: Process, board: Board
) -> None:
    async with process.listening() as (page, _):
        order_id = await order_of(board)
        last = (await page.next())["event_id"]
    await board.move(order_id, "paid", "assembled")
    await board.shop.caught_up()

    async with process.listening(f"/ws/orders/7?last_event_id={last}") as (page, hello):
        missed = await received(page, 2)
        await board.move(order_id, "delivery")
        ((_, data),) = await received(page, 1)

    assert hello["resumed"]
    assert [one["new_status"] for _, one in missed] == ["paid", "assembled"]
    assert data["new_status"] == "delivery"


@pytest.mark.parametrize("path", ["/ws/orders/8", "/ws/production/8", "/ws/orders/0"])
async def test_the_page_of_another_shop_is_closed_with_1008(process: Process, path: str) -> None:
    async with process.page(path) as page:
        assert await page.next() == REFUSED


@pytest.mark.parametrize(
    ("path", "scope"), [("/ws/orders/7", "shop:production"), (PRODUCTION, "shop:orders")]
)
async def test_a_page_needs_the_permission(process: Process, path: str, scope: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with process.page(path, scopes=(scope,)):
            pass

    assert refused.value.status == 403


async def test_a_page_without_a_token_is_refused(process: Process) -> None:
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(f"{process.url}/ws/orders/7")

    assert refused.value.status == 401


async def test_the_board_sees_tasks_with_their_state_and_who_moved_them(
    process: Process, board: Board
) -> None:
    task_id = await board.task()
    async with process.listening(PRODUCTION) as (page, _):
        await board.do(task_id, "assign", florist_id=3)
        await board.do(task_id, "start")
        await board.client.patch(
            f"/api/production/tasks/{task_id}", json={"instructions": "Без лилий"}
        )
        messages = await received(page, 3)
        await board.do(task_id, "complete")
        await board.do(task_id, "quality-check", quality_score=5, quality_approved=True)
        messages += await received(page, 2)

    states = [
        ("task_assigned", "assigned"),
        ("task_updated", "in_progress"),
        ("task_updated", "in_progress"),
        ("task_updated", "quality_check"),
        ("task_completed", "completed"),
    ]
    assert messages == [
        (kind, {"task_id": task_id, "status": status, "updated_by": 3}) for kind, status in states
    ]


async def test_a_task_is_moved_through_the_socket_and_both_pages_hear(
    process: Process, board: Board
) -> None:
    task_id = await board.task()
    await board.do(task_id, "assign", florist_id=3)
    async with (
        process.listening(PRODUCTION) as (page, _),
        process.listening(PRODUCTION) as (other, _),
    ):
        update = {"type": "task_update", "task_id": task_id, "status": "in_progress"}
        await page.send(update)

        async def is_started() -> bool:
            await board.shop.caught_up()
            return bool((await board.tasks())[0]["status"] == "in_progress")

        await eventually(is_started)
        ((kind, data),) = await received(page, 1)
        assert [(kind, data)] == await received(other, 1)

    moved = {"task_id": task_id, "status": "in_progress", "updated_by": 3}
    assert (kind, data) == ("task_updated", moved)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "completed"}, "WrongTaskStatus"),
        ({"status": "unheard"}, "BadTaskUpdate"),
        ({"task_id": "1"}, "BadTaskUpdate"),
        ({"task_id": 10**30}, "TaskUnknown"),
        ({"task_id": 12345}, "TaskUnknown"),
    ],
)
async def test_an_update_that_is_not_possible_is_answered_and_changes_nothing(
    process: Process, board: Board, change: dict[str, Any], code: str
) -> None:
    task_id = await board.task()
    async with process.listening(PRODUCTION) as (page, _):
        message = {"type": "task_update", "task_id": task_id, "status": "in_progress"}
        await page.send(message | change)
        answer = await page.next()

    assert (answer["type"], answer["code"]) == ("error", code)
    assert (await board.tasks())[0]["status"] == "pending"


async def test_stored_messages_name_no_person(board: Board) -> None:
    order_id = await order_of(board)
    await board.client.patch(f"/api/orders/{order_id}", json={"recipient_name": "Дана"})
    await board.shop.caught_up()
    rows = await board.shop.deps.system.fetch("SELECT type, data FROM live_message ORDER BY id")

    assert [(row["type"], json.loads(row["data"])) for row in rows] == [
        ("order_created", {"id": order_id}),
        ("order_updated", {"id": order_id}),
    ]
