"""Scales are registered, listed, changed and forgotten, in the words their clients know (§1)."""

import asyncio
from typing import Any
from uuid import uuid4

from contracts.scale_bridge import DeviceRegistered
from libs.http.undeclared import undeclared_routes
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    BORIS,
    PASSWORD,
    dirty,
    fetched,
    inside,
    patch,
    registered,
    working,
)

SCALE = {"name": "cheese", "ip": "10.0.0.5", "password": PASSWORD}


def unlike(**different: Any) -> dict[str, Any]:
    return SCALE | different


async def test_a_scale_is_registered_as_it_always_was(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        answer = await anna.post("/devices", json=unlike(port="1112", unknown="ignored"))
        number = answer.json().pop("id")

        assert answer.status_code == 201
        assert answer.json() == {
            "id": number,
            "name": "cheese",
            "description": "",
            "ip": "10.0.0.5",
            "port": 1112,
            "protocol": "TCP",
            "cached_dirty": False,
        }
        assert (await anna.get(f"/devices/{number}")).json() == answer.json()
        assert (await anna.get("/devices")).json() == [answer.json()]
        assert (await anna.get("/devices/")).status_code == 307


async def test_the_password_is_sealed_and_never_told(database: str) -> None:
    """(R12)"""
    async with inside(database) as made, made.client() as anna:
        number = (await anna.post("/devices", json=unlike(password="9876"))).json()["id"]
        await anna.put(f"/devices/{number}", json={"password": "9875"})
        refused = await anna.put(f"/devices/{number}", json={"password": "98754321"})

        answers = [await anna.get("/devices"), await anna.get(f"/devices/{number}"), refused]
        told = "".join(answer.text for answer in answers) + repr(await made.events())
        assert refused.status_code == 422
        assert not [digits for digits in ("9876", "9875") if digits in told]


REFUSED: list[tuple[dict[str, Any], str]] = [
    (unlike(name=""), "name"),
    (unlike(name="x" * 121), "name"),
    (unlike(name="x\0"), "name"),
    (unlike(description="x" * 501), "description"),
    (unlike(port=0), "port"),
    (unlike(port=65536), "port"),
    (unlike(port=1.5), "port"),
    (unlike(protocol="UDP"), "protocol"),
    (unlike(password=""), "password"),
    (unlike(password="12345"), "password"),
    (unlike(password="пароль"[:4]), "password"),
    ({"name": "cheese", "password": PASSWORD}, "ip"),
    (unlike(ip="127.0.0.1"), "ip"),
    (unlike(ip="169.254.169.254"), "ip"),
    (unlike(ip="8.8.8.8"), "ip"),
    (unlike(ip="0.0.0.0"), "ip"),
    (unlike(ip="224.0.0.1"), "ip"),
    (unlike(ip="scale.local"), "ip"),
    (unlike(ip="2130706433"), "ip"),
]


async def test_what_no_scale_can_be_is_refused(database: str) -> None:
    """(R12, R14)"""
    async with inside(database, allow_loopback=False) as made, made.client() as anna:
        number = (await anna.post("/devices", json=unlike(name="other"))).json()["id"]
        for body, where in REFUSED:
            answer = await anna.post("/devices", json=body)
            assert answer.status_code == 422, body
            [fault] = answer.json()["detail"]
            assert fault["loc"] == ["body", where], body
            assert set(fault) >= {"type", "loc", "msg", "input"}
            assert fault["input"] is None
            change = {name: value for name, value in body.items() if SCALE.get(name) != value}
            changed = await anna.put(f"/devices/{number}", json=change)
            if change:
                assert changed.status_code == 422, change
                assert changed.json()["detail"][0]["loc"] == ["body", where]
        assert len((await anna.get("/devices")).json()) == 1


async def test_a_name_is_used_once_by_one_owner(database: str) -> None:
    async with inside(database) as made, made.client() as anna, made.client(BORIS) as boris:
        await anna.post("/devices", json=SCALE)
        twice = await anna.post("/devices", json=SCALE)
        other = (await anna.post("/devices", json=unlike(name="meat"))).json()["id"]
        renamed = await anna.put(f"/devices/{other}", json={"name": "cheese"})

        assert (twice.status_code, twice.json()["detail"]) == (
            409,
            "Device with this name already exists",
        )
        assert (renamed.status_code, renamed.json()["detail"]) == (409, "Device name conflict")
        assert (await boris.post("/devices", json=SCALE)).status_code == 201


async def test_of_many_who_take_a_name_at_once_one_gets_it(database: str) -> None:
    """(S18)"""
    async with inside(database) as made, made.client() as anna:
        answers = await asyncio.gather(
            *(anna.post("/devices", json=unlike(port=port)) for port in range(1000, 1012))
        )

        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11
        assert len(await made.events(DeviceRegistered)) == 1


async def test_a_name_is_free_again_after_its_scale_is_renamed_or_forgotten(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        first = (await anna.post("/devices", json=SCALE)).json()["id"]
        await anna.put(f"/devices/{first}", json={"name": "meat"})
        second = (await anna.post("/devices", json=SCALE)).json()["id"]
        assert (await anna.delete(f"/devices/{second}")).status_code == 204
        third = await anna.post("/devices", json=SCALE)

        assert third.status_code == 201
        assert len({first, second, third.json()["id"]}) == 3


async def test_null_keeps_what_is_and_a_description_can_be_emptied(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        number = (await anna.post("/devices", json=unlike(description="by the door"))).json()["id"]
        kept = await anna.put(f"/devices/{number}", json={"name": None, "port": None})
        emptied = await anna.put(f"/devices/{number}", json={"description": ""})

        assert (kept.json()["name"], kept.json()["description"]) == ("cheese", "by the door")
        assert (emptied.json()["name"], emptied.json()["description"]) == ("cheese", "")


async def test_anybody_elses_scale_is_not_there(database: str) -> None:
    """(S30)"""
    async with (
        inside(database) as made,
        made.client() as anna,
        made.client(BORIS) as boris,
        made.client(tenant="other") as elsewhere,
    ):
        number = (await anna.post("/devices", json=SCALE)).json()["id"]
        for stranger in (boris, elsewhere):
            for method, path in (
                ("GET", ""),
                ("PUT", ""),
                ("DELETE", ""),
                ("GET", "/products"),
                ("GET", "/products/cached"),
                ("PATCH", "/products/1"),
                ("POST", "/upload"),
                ("POST", "/verify"),
                ("GET", "/operations"),
                ("GET", "/revisions"),
            ):
                body: dict[str, Any] = {"fields": {}} if method == "PATCH" else {}
                answer = await stranger.request(method, f"/devices/{number}{path}", json=body)
                assert (answer.status_code, answer.json()["detail"]) == (404, "Device not found")
            assert (await stranger.get("/devices")).json() == []
        absent = await anna.get("/devices/99999999999999999999999")
        assert (absent.status_code, absent.json()["detail"]) == (404, "Device not found")


async def test_nobody_gets_in_without_a_token(database: str) -> None:
    async with inside(database) as made, made.nobody() as nobody:
        without = await nobody.get("/devices")
        basic = await nobody.get("/devices", headers={"Authorization": "Basic YTpi"})
        wrong = await nobody.get("/devices", headers={"Authorization": "Bearer wrong"})

        for answer in (without, basic):
            assert (answer.status_code, answer.json()["detail"]) == (401, "Not authenticated")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert (wrong.status_code, wrong.json()["detail"]) == (401, "Invalid token")
        assert "WWW-Authenticate" not in wrong.headers


async def test_who_may_only_read_changes_nothing(database: str) -> None:
    async with inside(database) as made, made.client(scopes=["scales:read"]) as reader:
        assert (await reader.get("/devices")).status_code == 200
        assert (await reader.post("/devices", json=SCALE)).status_code == 403


async def test_every_route_says_who_may_use_it(database: str) -> None:
    async with inside(database) as made:
        assert not undeclared_routes(made.app)


async def test_at_another_address_the_catalogue_must_be_fetched_again(database: str) -> None:
    """(R9)"""
    async with (
        a_scale(5) as first,
        a_scale(2) as second,
        working(database) as made,
        made.client() as anna,
    ):
        number = await registered(anna, first)
        await fetched(anna, number)
        await anna.put(f"/devices/{number}", json={"port": second.port})

        refused = await anna.post(f"/devices/{number}/upload")
        cached = (await anna.get(f"/devices/{number}/products/cached")).json()
        assert refused.status_code == 409
        assert cached == {"products": {"products": []}}
        assert (await patch(anna, number, 1, price=1)).status_code == 404
        assert await dirty(anna, number) is True
        assert len((await fetched(anna, number))["products"]) == 2
        assert await dirty(anna, number) is False
        assert len(second.base.products) == 2


async def test_after_a_forgotten_scale_nothing_is_left_in_the_list(database: str) -> None:
    async with inside(database) as made, made.client(uuid4()) as somebody:
        number = (await somebody.post("/devices", json=SCALE)).json()["id"]
        deleted = await somebody.delete(f"/devices/{number}")

        assert (deleted.status_code, deleted.content) == (204, b"")
        assert (await somebody.get("/devices")).json() == []
        assert (await somebody.delete(f"/devices/{number}")).status_code == 404
