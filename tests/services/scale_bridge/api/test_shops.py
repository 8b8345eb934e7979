"""Shop, group, scale (SCL-1): the tree, and the board of a part of it."""

from typing import Any

from tests.services.scale_bridge.api.test_board import QUICK, listening
from tests.services.scale_bridge.inside import BORIS, inside
from tests.services.scale_bridge.scheduled import a_device

PLACES = {
    "Сыр": ("Арбат", "Сыры"),
    "Рыба": ("Арбат", "Рыба"),
    "Икра": ("Арбат", "Рыба"),
    "Хлеб": ("Арбат", ""),
    "Мясо": ("Тверская", ""),
    "Новые": ("", ""),
}


async def placed(client: Any, places: dict[str, tuple[str, str]]) -> dict[str, int]:
    numbers = {}
    for name, (shop, group) in places.items():
        numbers[name] = await a_device(client, name)
        said = {"shop": shop, "group": group}
        await client.put(f"/devices/{numbers[name]}/profile", json=said)
    return numbers


async def names(client: Any, **where: str) -> set[str]:
    answer = await client.get("/devices/board", params=where)
    assert answer.status_code == 200, answer.text
    return {one["name"] for one in answer.json()["devices"]}


async def test_scales_stand_in_groups_and_groups_in_shops(database: str) -> None:
    async with inside(database) as made, made.client() as anna, made.client(BORIS) as boris:
        numbers = await placed(anna, PLACES)
        await placed(boris, {"Чужие": ("Арбат", "Рыба")})

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


async def test_the_board_shows_what_is_asked_for(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        numbers = await placed(anna, PLACES)

        assert await names(anna) == PLACES.keys()
        assert await names(anna, shop="Арбат") == {"Сыр", "Рыба", "Икра", "Хлеб"}
        assert await names(anna, shop="Арбат", group="Рыба") == {"Рыба", "Икра"}
        assert await names(anna, group="") == {"Хлеб", "Мясо", "Новые"}
        assert await names(anna, shop="") == {"Новые"}
        assert await names(anna, shop="nowhere") == set()
        await anna.put(f"/devices/{numbers['Хлеб']}", json={"name": "Булки"})
        await anna.delete(f"/devices/{numbers['Сыр']}")
        assert await names(anna, shop="Арбат") == {"Рыба", "Икра", "Булки"}


async def test_whoever_watches_a_shop_sees_scales_come_and_go(database: str) -> None:
    async with inside(database, **QUICK) as made, made.client() as anna:
        numbers = await placed(anna, {"Сыр": ("Арбат", ""), "Мясо": ("Тверская", "")})
        key = anna.headers["Authorization"]
        async with listening(made.app, key, query="shop=%D0%90%D1%80%D0%B1%D0%B0%D1%82") as events:
            kind, told = await anext(events)
            assert (kind, [one["name"] for one in told]) == ("board", ["Сыр"])

            await anna.put(f"/devices/{numbers['Мясо']}/profile", json={"shop": "Арбат"})
            kind, told = await anext(events)
            assert [one["name"] for one in told["devices"]] == ["Мясо"]

            await anna.put(f"/devices/{numbers['Сыр']}/profile", json={"shop": None})
            kind, told = await anext(events)
            assert (kind, told["gone"]) == ("scales", [numbers["Сыр"]])
