"""The board over HTTP, once and as a stream; shops and groups (SCL-1, SCL-12, SCL-16)."""

from typing import Any, Final

from httpx import AsyncClient

from libs.testing.event_stream import open_stream
from tests.services.scale_bridge.service import (
    BORIS,
    open_device,
    open_devices,
    open_service,
    register,
)

QUICK: Final[dict[str, Any]] = {"stream_poll_seconds": 0.02, "stream_heartbeat_seconds": 0.1}
STREAM: Final = "/devices/board/stream"
PLACES: Final = {
    "Сыр": ("Арбат", "Сыры"),
    "Рыба": ("Арбат", "Рыба"),
    "Икра": ("Арбат", "Рыба"),
    "Хлеб": ("Арбат", ""),
    "Мясо": ("Тверская", ""),
    "Новые": ("", ""),
}


async def board(client: AsyncClient, **where: str) -> list[dict[str, Any]]:
    answer = await client.get("/devices/board", params=where)
    assert answer.status_code == 200, answer.text
    devices: list[dict[str, Any]] = answer.json()["devices"]
    return devices


async def in_shops(client: AsyncClient, places: dict[str, tuple[str, str]]) -> dict[str, int]:
    """Register devices in shops and groups; their numbers."""
    numbers = {name: await register(client, name) for name in places}
    for name, (shop, group) in places.items():
        body = {"shop": shop, "group": group}
        await client.put(f"/devices/{numbers[name]}/profile", json=body)
    return numbers


async def test_a_dead_scale_and_a_lying_one_have_status_and_reason(database: str) -> None:
    """The worst status comes first."""
    async with open_devices(database, 3, 3, 3, breaker_failures=99) as (good, liar, dead):
        for device, name in ((good, "Сыр"), (liar, "Лжец"), (dead, "Рыба")):
            await device.put(name=name)
        liar.scale.faults.set(["lie"])
        await liar.set_price(1, 7.5)
        assert (await liar.post("/upload")).status_code == 503
        assert (await liar.post("/probe")).status_code == 200
        await dead.scale.power_cut()
        assert (await dead.post("/probe")).status_code == 503
        await good.service.caught_up()

        found = await board(good.owner)
        assert [(one["name"], one["state"]) for one in found] == [
            ("Лжец", "lying"),
            ("Рыба", "unreachable"),
            ("Сыр", "ok"),
        ]
        assert found[0]["reason"].startswith("Весы подтвердили загрузку, но показывают другие")
        assert "товаров: 1" in found[0]["reason"]
        assert (found[0]["pending"], found[0]["desired_revision"]) == (1, 2)
        assert found[1]["reason"] == "Нет соединения с весами."
        assert all(one["last_exchange"] for one in found)
        assert (found[2]["desired_revision"], found[2]["verified_revision"]) == (1, 1)

        liar.scale.faults.set([])
        await liar.upload()
        await good.service.caught_up()
        states = {one["name"]: one["state"] for one in await board(good.owner)}
        assert states["Лжец"] == "ok"


async def test_a_stream_begins_with_the_board_and_goes_on_with_changes(database: str) -> None:
    async with (
        open_device(database, 2, read=False, **QUICK) as device,
        open_stream(device.service.app, device.owner, STREAM) as events,
    ):
        event = await events.next()
        assert (event.name, [one["state"] for one in event.data]) == ("board", ["unknown"])
        other = await register(device.owner, "Хлеб")
        event = await events.next()
        assert (event.name, [one["name"] for one in event.data["devices"]]) == ("scales", ["Хлеб"])

        await device.fetch()
        await events.until(lambda changes: changes["devices"][0]["state"] == "ok")
        await device.set_price(1, 3.5)
        await device.service.caught_up()
        await events.until(lambda changes: changes["devices"][0]["state"] == "dirty")
        await device.owner.delete(f"/devices/{other}")
        await events.until(lambda changes: changes["gone"] == [other])


async def test_scales_are_in_groups_and_groups_in_shops(database: str) -> None:
    async with (
        open_service(database) as service,
        service.client() as anna,
        service.client(BORIS) as boris,
    ):
        numbers = await in_shops(anna, PLACES)
        await in_shops(boris, {"Чужие": ("Арбат", "Рыба")})

        tree = (await anna.get("/shops")).json()

        assert [
            (shop["shop"], group["group"], [one["name"] for one in group["scales"]])
            for shop in tree
            for group in shop["groups"]
        ] == [
            ("Арбат", "Рыба", ["Рыба", "Икра"]),
            ("Арбат", "Сыры", ["Сыр"]),
            ("Арбат", "", ["Хлеб"]),
            ("Тверская", "", ["Мясо"]),
            ("", "", ["Новые"]),
        ]
        first = tree[0]["groups"][0]["scales"][0]
        assert first == {"id": numbers["Рыба"], "name": "Рыба", "state": "unknown"}


async def test_the_board_can_be_filtered_by_shop_and_group(database: str) -> None:
    async with open_service(database) as service, service.client() as anna:
        numbers = await in_shops(anna, PLACES)

        async def names(**where: str) -> set[str]:
            return {one["name"] for one in await board(anna, **where)}

        assert await names() == PLACES.keys()
        assert await names(shop="Арбат") == {"Сыр", "Рыба", "Икра", "Хлеб"}
        assert await names(shop="Арбат", group="Рыба") == {"Рыба", "Икра"}
        assert await names(group="") == {"Хлеб", "Мясо", "Новые"}
        assert await names(shop="") == {"Новые"}
        assert await names(shop="nowhere") == set()
        await anna.put(f"/devices/{numbers['Хлеб']}", json={"name": "Булки"})
        await anna.delete(f"/devices/{numbers['Сыр']}")
        assert await names(shop="Арбат") == {"Рыба", "Икра", "Булки"}


async def test_the_stream_of_a_shop_follows_scales_that_join_and_leave(database: str) -> None:
    async with open_service(database, **QUICK) as service, service.client() as anna:
        numbers = await in_shops(anna, {"Сыр": ("Арбат", ""), "Мясо": ("Тверская", "")})
        async with open_stream(service.app, anna, STREAM, shop="Арбат") as events:
            event = await events.next()
            assert (event.name, [one["name"] for one in event.data]) == ("board", ["Сыр"])

            await anna.put(f"/devices/{numbers['Мясо']}/profile", json={"shop": "Арбат"})
            event = await events.next()
            assert [one["name"] for one in event.data["devices"]] == ["Мясо"]

            await anna.put(f"/devices/{numbers['Сыр']}/profile", json={"shop": None})
            event = await events.next()
            assert (event.name, event.data["gone"]) == ("scales", [numbers["Сыр"]])
