"""What happens to an order happens to its tasks (spec shop §5, §6, C7)."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.shop import TaskCreated
from libs.eventsourcing.log import Metadata
from libs.security.data_keys import Subject
from services.shop.context import authorship
from services.shop.orders.domain.commands import ReceivePayment
from services.shop.orders.domain.contact import subject_id
from services.shop.orders.handlers.execution import carry_out
from tests.services.shop.kit import TENANT, ShopKit
from tests.services.shop.production.board import Board


async def statuses(board: Board, order_id: int) -> list[str]:
    return [one["status"] for one in await board.tasks(order_id=order_id)]


async def test_a_paid_order_has_one_task_for_each_kind_of_product(board: Board) -> None:
    soon = datetime.now(UTC) + timedelta(hours=3)
    window = {"from": soon.isoformat(), "to": (soon + timedelta(hours=2)).isoformat()}
    order_id = await board.paid_order(
        "Букет роз", "Композиция", delivery_window=window, comment="без лилий"
    )
    assert await board.tasks() == []

    await board.react()

    tasks = {one["task_type"]: one for one in await board.tasks(order_id=order_id)}
    assert {*tasks} == {"bouquet", "composition"}
    assert {one["priority"] for one in tasks.values()} == {"high"}
    assert tasks["composition"]["estimated_minutes"] == 40
    assert tasks["bouquet"]["instructions"] == "без лилий"
    assert datetime.fromisoformat(tasks["bouquet"]["deadline"]) == soon
    lines = (await board.detail(order_id))["items"]
    assert [one["order_item_id"] for one in tasks["bouquet"]["items"]] == [lines[0]["id"]]


async def test_a_payment_that_a_provider_reports_creates_the_tasks_too(board: Board) -> None:
    placed = await board.placed((await board.product(), 1))
    metadata = Metadata(tenant=TENANT, actor="provider")
    command = ReceivePayment(
        payment_id="p-1",
        payment_method="kaspi",
        amount=placed["total"],
        **authorship(board.shop.deps, metadata),
    )
    await carry_out(board.shop.deps, placed["id"], command, metadata)
    await board.react()

    assert await statuses(board, placed["id"]) == ["pending"]


async def test_tasks_are_created_once_by_reaction_and_by_hand_in_parallel(board: Board) -> None:
    order_id = await board.paid_order("Букет", "Композиция")

    path = f"create-from-order/{order_id}"
    answers = await asyncio.gather(board.react(), *(board.queue(path) for _ in range(8)))
    await board.react()

    assert len(await board.shop.events(TaskCreated)) == 2
    again = await board.queue(path)
    assert again.status_code == 201
    bodies = [one.json() for one in answers if one is not None]
    assert all(
        [task["id"] for task in body] == [task["id"] for task in again.json()] for body in bodies
    )


async def test_an_assembled_order_completes_its_open_tasks(board: Board) -> None:
    order_id = await board.paid_order("Букет", "Композиция")
    await board.react()
    first = (await board.tasks(order_id=order_id))[0]["id"]
    assert (await board.do(first, "assign", florist_id=3)).status_code == 201

    await board.move(order_id, "assembled")
    await board.react()

    assert await statuses(board, order_id) == ["completed", "completed"]
    florists = (await board.client.get("/api/production/florists")).json()["items"]
    assert [one["current_tasks"] for one in florists] == [0, 0]


async def test_a_cancelled_order_cancels_its_tasks_and_has_new_ones_when_it_comes_back(
    board: Board,
) -> None:
    order_id = await board.paid_order()
    by_hand = {"order_id": order_id, "task_type": "decoration"}
    created = await board.client.post("/api/production/tasks/", json=by_hand)
    assert created.status_code == 201
    await board.react()

    reason = {"cancellation_reason": "передумали"}
    await board.client.post(f"/api/orders/{order_id}/cancel", json=reason)
    await board.react()
    assert await statuses(board, order_id) == ["cancelled", "cancelled"]
    assert (await board.queue(f"create-from-order/{order_id}")).status_code == 409

    back = {"target_status": "paid", "reason": "ошибка"}
    path = f"/api/orders/{order_id}/rollback-status"
    assert (await board.client.post(path, json=back)).status_code == 200
    await board.react()
    assert sorted(await statuses(board, order_id)) == ["cancelled", "cancelled", "pending"]


async def test_an_order_that_is_cancelled_before_the_reaction_runs_has_no_open_task(
    board: Board,
) -> None:
    order_id = await board.paid_order()
    issue = {"issue_type": "other", "comment": "нет цветов"}
    assert (
        await board.client.patch(f"/api/orders/{order_id}/issue", json=issue)
    ).status_code == 200

    await board.react()

    assert await statuses(board, order_id) == []


@pytest.mark.parametrize(
    "window",
    [
        {"from": "2030-03-08T10:00", "to": "2030-03-08T12:00"},
        {"from_time": "2030-03-08T10:00:00", "to_time": "2030-03-08T12:00:00"},
        {"date": "2030-03-08", "time": "10:00-12:00"},
    ],
)
async def test_a_window_without_an_offset_is_a_deadline_in_the_zone_of_the_shop(
    board: Board, window: dict[str, Any]
) -> None:
    order_id = await board.paid_order(delivery_window=window)

    answer = await board.queue(f"create-from-order/{order_id}")

    assert answer.status_code == 201
    deadline = datetime.fromisoformat(answer.json()[0]["deadline"])
    assert deadline == datetime(2030, 3, 8, 10, tzinfo=board.shop.settings.zone)


async def test_an_order_without_a_bouquet_and_one_without_products_are_no_failure(
    board: Board,
) -> None:
    composition = await board.paid_order("Композиция")
    plain = await board.client.post(
        "/api/orders/",
        json={
            "customer_phone": "+77012223344",
            "delivery_method": "self_pickup",
            "flower_sum": 5000,
            "total": 5000,
        },
    )

    made = await board.queue(f"create-from-order/{composition}")
    nothing = await board.queue(f"create-from-order/{plain.json()['id']}")
    unknown = await board.queue("create-from-order/999999")

    assert [one["task_type"] for one in made.json()] == ["composition"]
    assert (nothing.status_code, nothing.json()) == (201, [])
    assert unknown.status_code == 404


async def test_what_a_task_says_of_persons_is_sealed_and_erased_with_its_order(
    board: Board, shop: ShopKit
) -> None:
    task_id = await board.task(comment="для Марии, Абая 15")
    notes = {"florist_notes": "Мария просила белые"}
    await board.do(task_id, "assign", florist_id=3)
    assert (await board.do(task_id, "start", **notes)).status_code == 201
    before = (await board.client.get(f"/api/production/tasks/{task_id}")).json()
    assert before["florist_notes"] == "Мария просила белые"

    stored = str([one for one in await shop.events() if type(one).__name__.startswith("Task")])
    assert "Мари" not in stored
    person = Subject(TENANT, subject_id(before["order_id"]))
    await shop.deps.vault.forget(person, by="owner", at=shop.deps.clock())

    after = (await board.client.get(f"/api/production/tasks/{task_id}")).json()
    assert (after["instructions"], after["florist_notes"]) == (None, None)
    # The task can still be finished.
    assert (await board.do(task_id, "complete")).status_code == 201
