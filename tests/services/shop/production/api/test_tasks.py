"""Tasks on the wire (spec shop §4.6)."""

from typing import Any

import pytest

from tests.services.shop.kit import ShopKit
from tests.services.shop.orders.florist import PHONE
from tests.services.shop.production.board import Board

TASK = {
    *("order_id", "task_type", "priority", "estimated_minutes", "deadline", "instructions", "id"),
    *("florist_id", "status", "created_at", "assigned_at", "started_at", "completed_at"),
    *("actual_minutes", "quality_score", "work_photos", "result_photos", "florist_notes"),
    *("quality_notes", "items", "is_overdue", "time_spent", "order"),
}


async def test_a_task_goes_from_the_florist_through_the_check(board: Board) -> None:
    task_id = await board.task()

    steps = [
        await board.do(task_id, "assign", florist_id=3),
        await board.do(task_id, "start", florist_notes="начала"),
        await board.do(task_id, "complete", actual_minutes=18, photos=["/uploads/a.jpg"]),
        await board.do(
            task_id, "quality-check", quality_score=2, quality_approved=False, quality_notes="криво"
        ),
        await board.do(task_id, "complete", actual_minutes=7),
        await board.do(task_id, "quality-check", quality_score=5, quality_approved=True),
    ]

    assert [one.status_code for one in steps] == [201] * 6
    bodies = [one.json() for one in steps]
    assert all({*body} == TASK for body in bodies)
    assert [body["status"] for body in bodies] == [
        *("assigned", "in_progress", "quality_check", "in_progress", "quality_check", "completed")
    ]
    assert bodies[2]["result_photos"] == ["/uploads/a.jpg"]
    assert bodies[2]["items"][0]["is_completed"]
    assert (bodies[3]["quality_notes"], bodies[3]["completed_at"]) == ("криво", None)
    assert not bodies[3]["items"][0]["is_completed"]
    assert bodies[5]["items"][0]["quality_approved"]
    assert (bodies[5]["quality_score"], bodies[5]["time_spent"]) == (5, 7)


async def test_a_step_in_the_wrong_status_is_refused_with_409_and_an_unknown_task_with_404(
    board: Board,
) -> None:
    task_id = await board.task()
    check = {"quality_score": 5, "quality_approved": True}

    early = [
        await board.do(task_id, "start"),
        await board.do(task_id, "complete"),
        await board.do(task_id, "quality-check", **check),
    ]
    unknown = [
        await board.do(999_999, "assign", florist_id=3),
        await board.do(999_999, "start"),
        await board.do(999_999, "cancel"),
        await board.client.get("/api/production/tasks/999999/items"),
        await board.client.post("/api/production/task-items/999999/complete"),
    ]

    assert [one.status_code for one in early] == [409] * 3
    assert all(isinstance(one.json()["detail"], str) for one in early)
    assert [one.status_code for one in unknown] == [404] * 5


async def test_only_an_active_florist_gets_a_task(board: Board) -> None:
    task_id = await board.task()

    admin = await board.do(task_id, "assign", florist_id=5)
    unknown = await board.do(task_id, "assign", florist_id=99)

    assert (admin.status_code, unknown.status_code) == (400, 404)


async def test_the_board_shows_who_ordered_what(board: Board) -> None:
    await board.client.post("/api/customers/", json={"phone": PHONE, "name": "Мария"})
    await board.task("Букет роз")

    (listed,) = await board.tasks()

    assert {*listed} == TASK
    assert listed["order"]["customer_name"] == "Мария"
    assert listed["order"]["customer_phone"] == PHONE
    assert listed["order"]["products"] == "Букет роз × 1"


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
async def test_a_task_is_edited_with_either_verb_and_moved_along_its_states_only(
    board: Board, verb: str
) -> None:
    task_id = await board.task()

    async def edit(**body: Any) -> Any:
        return await board.client.request(verb, f"/api/production/tasks/{task_id}", json=body)

    edited = await edit(priority="low", instructions="без ленты", notes="готово к сборке")
    jumped = await edit(status="completed")
    alone = await edit(status="assigned")
    assigned = await edit(status="assigned", florist_id=4)
    started = await edit(status="in_progress")
    other = await edit(florist_id=3)
    cleared = await edit(instructions=None, deadline="2030-03-08T10:00")

    assert edited.status_code == 200, edited.text
    fields = ("priority", "instructions", "florist_notes")
    assert [edited.json()[name] for name in fields] == ["low", "без ленты", "готово к сборке"]
    assert (jumped.status_code, alone.status_code) == (409, 422)
    assert (assigned.json()["status"], assigned.json()["florist_id"]) == ("assigned", 4)
    assert started.json()["status"] == "in_progress"
    assert other.status_code == 409
    assert cleared.json()["instructions"] is None
    assert cleared.json()["deadline"].startswith("2030-03-08T05:00")


@pytest.mark.parametrize("text", ["a\\u0000b", "a\\ud800"], ids=["NUL", "half a character"])
async def test_texts_that_cannot_be_stored_are_refused(board: Board, text: str) -> None:
    task_id = await board.task()
    item_id = (await board.tasks())[0]["items"][0]["id"]
    paths = {
        f"tasks/{task_id}/start": '{"florist_notes": "%s"}',
        f"tasks/{task_id}/complete": '{"photos": ["%s"]}',
        f"tasks/{task_id}": '{"instructions": "%s"}',
        f"task-items/{item_id}": '{"quality_notes": "%s"}',
    }

    for path, body in paths.items():
        method = "POST" if path.endswith(("start", "complete")) else "PUT"
        answer = await board.client.request(
            method,
            f"/api/production/{path}",
            content=body % text,
            headers={"content-type": "application/json"},
        )
        assert (answer.status_code, type(answer.json()["detail"])) == (422, str), path


async def test_lines_are_completed_one_by_one(board: Board) -> None:
    task_id = await board.task("Букет роз", "Букет лилий")
    items = (await board.client.get(f"/api/production/tasks/{task_id}/items")).json()
    first, second = (one["id"] for one in items)

    done = await board.client.post(
        f"/api/production/task-items/{first}/complete",
        params={"quality_approved": True, "quality_notes": "хорошо"},
    )
    noted = await board.client.put(
        f"/api/production/task-items/{second}", json={"quality_notes": "для Марии"}
    )

    assert done.status_code == 201
    assert (done.json()["is_completed"], done.json()["quality_notes"]) == (True, "хорошо")
    assert (noted.json()["is_completed"], noted.json()["quality_notes"]) == (False, "для Марии")


async def test_a_task_by_hand_needs_an_order_and_its_lines(board: Board) -> None:
    order_id = await board.paid_order()
    line = (await board.detail(order_id))["items"][0]["id"]
    other = (await board.detail(await board.paid_order()))["items"][0]["id"]

    async def create(**body: Any) -> Any:
        return await board.client.post(
            "/api/production/tasks/", json={"task_type": "bouquet", **body}
        )

    made = await create(order_id=order_id, items=[{"order_item_id": line, "quantity": 1}])
    foreign = await create(order_id=order_id, items=[{"order_item_id": other, "quantity": 1}])
    unknown = await create(order_id=999_999)
    bad = [
        await create(order_id=order_id, estimated_minutes=4),
        await create(order_id=order_id, items=[{"order_item_id": line, "quantity": 0}]),
        await create(order_id=order_id, task_type="cake"),
    ]

    assert (made.status_code, made.json()["estimated_minutes"]) == (201, 30)
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert [one.status_code for one in bad] == [422] * 3


async def test_lists_are_filtered(board: Board) -> None:
    first, second = await board.task(), await board.task("Композиция")
    await board.do(first, "assign", florist_id=3)

    assert [one["id"] for one in await board.tasks(status="assigned")] == [first]
    assert [one["id"] for one in await board.tasks(florist_id=3)] == [first]
    pending = (await board.client.get("/api/production/tasks/pending")).json()
    assert [one["id"] for one in pending["items"]] == [second]
    assert (await board.client.get("/api/production/tasks/?status=baking")).status_code == 422


@pytest.mark.parametrize("path", ["tasks/{}", "tasks/{}/items", "florists/{}/stats"])
async def test_an_id_beyond_all_ids_is_refused(board: Board, path: str) -> None:
    answer = await board.client.get(f"/api/production/{path.format(2**63)}")

    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


async def test_another_shop_and_a_member_without_the_permission_see_no_task(
    board: Board, shop: ShopKit
) -> None:
    task_id = await board.task()
    order_id = (await board.tasks())[0]["order_id"]
    item_id = (await board.tasks())[0]["items"][0]["id"]
    path = f"/api/production/tasks/{task_id}"

    async with shop.staff(number=8) as stranger:
        answers = [
            await stranger.get(path),
            await stranger.patch(path, json={"priority": "low"}),
            await stranger.post(f"{path}/cancel"),
            await stranger.put(f"/api/production/task-items/{item_id}", json={}),
            await stranger.post(f"/api/production/queue/create-from-order/{order_id}"),
            await stranger.post(
                "/api/production/tasks/", json={"order_id": order_id, "task_type": "bouquet"}
            ),
        ]
        listed = (await stranger.get("/api/production/tasks/")).json()
    async with shop.staff("orders") as courier:
        refused = await courier.get(path)

    assert [one.status_code for one in answers] == [404] * 6
    assert listed == {"items": [], "total": 0}
    assert refused.status_code == 403
