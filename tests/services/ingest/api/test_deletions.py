"""Items removed by their uuid, and the list of what was removed."""

from typing import Any

from httpx import AsyncClient

from tests.services.ingest.taking_back import BULK, DELETIONS, RAW, TODAY, event, send, uuid
from tests.services.ingest.told import Clock, Projector


async def test_an_event_is_deleted_by_its_uuid(
    device: AsyncClient, remover: AsyncClient, viewer: AsyncClient, projector: Projector
) -> None:
    await send(device, projector, event(1), event(2), event(3, type="CLOSE"))

    named = await remover.delete(f"/api/v1/events/{uuid(1).upper()}", params={"operator": "vera"})
    unnamed = await remover.delete(f"/api/v1/events/{uuid(2)}")
    again = await remover.delete(f"/api/v1/events/{uuid(1)}")
    await projector.catch_up()

    assert [one.status_code for one in (named, unnamed, again)] == [200] * 3
    assert named.json() == unnamed.json() == again.json() == {"ok": True}
    found = (await viewer.get(DELETIONS, params=TODAY)).json()
    assert {row["event_uuid"]: row["deleted_by"] for row in found["deletions"]} == {
        uuid(1): "vera",
        uuid(2): "remover",
    }


async def test_what_cannot_be_deleted_is_said_clearly(
    device: AsyncClient, remover: AsyncClient, viewer: AsyncClient, projector: Projector
) -> None:
    await send(device, projector, event(1), event(2, type="CLOSE"))
    await remover.delete(f"/api/v1/events/{uuid(1)}")
    await projector.catch_up()
    raw = (await viewer.get(RAW, params=TODAY | {"type": "REMOVE"})).json()

    for unknown in (uuid(9), "401", "%00", "1' OR 1=1"):
        answer = await remover.delete(f"/api/v1/events/{unknown}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Event not found"})
    for unfit in (uuid(2), raw["logs"][0]["uuid"]):
        answer = await remover.delete(f"/api/v1/events/{unfit}")
        assert (answer.status_code, answer.json()) == (
            409,
            {"detail": "Only items can be removed."},
        )
    listed = {"operator": "vera", "uuids": [raw["logs"][0]["uuid"]]}
    assert (await remover.post(BULK, json=listed)).json()["removed_count"] == 0


async def test_deletions_show_the_item_as_it_was_the_latest_first(
    device: AsyncClient,
    remover: AsyncClient,
    viewer: AsyncClient,
    projector: Projector,
    clock: Clock,
) -> None:
    await send(device, projector, event(1), event(2), event(3, client="petrov", city=""))
    before = (await viewer.get(RAW, params=TODAY)).json()["logs"]
    clock.pass_by(days=1)
    await remover.post(BULK, json={"operator": "vera", "uuids": [uuid(1), uuid(3)]})
    clock.pass_by(minutes=1)
    await remover.delete(f"/api/v1/events/{uuid(2)}", params={"operator": "boris"})
    await projector.catch_up()

    found = (await viewer.get(DELETIONS)).json()

    assert found["total"] == 3
    assert [row["event_uuid"] for row in found["deletions"]] == [uuid(2), uuid(1), uuid(3)]
    assert [row["deleted_at"] for row in found["deletions"]][:2] == [
        "01.11.2025 12:01:00",
        "01.11.2025 12:00:00",
    ]
    assert {row["event_uuid"]: row["event_data"] for row in found["deletions"]} == {
        row["uuid"]: row for row in before
    }
    assert len({row["id"] for row in found["deletions"]}) == 3

    async def asked(**params: Any) -> list[str]:
        said = (await viewer.get(DELETIONS, params=params)).json()
        return [row["event_uuid"] for row in said["deletions"]]

    assert await asked(**TODAY) == []
    assert await asked(operator="vera") == [uuid(1), uuid(3)]
    assert await asked(client="petrov", city="—") == [uuid(3)]
    assert await asked(limit=1, offset=1) == [uuid(1)]
    assert await asked(date="31.10.2025", date_end="01.11.2025", client="ivancov") == [
        uuid(2),
        uuid(1),
    ]
