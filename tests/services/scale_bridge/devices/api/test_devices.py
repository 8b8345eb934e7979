"""Devices are registered, listed, changed and removed (§1); after a key rotation passwords stay
readable, or are reported as unreadable (R16, R17)."""

import asyncio
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

from pydantic import SecretStr

from contracts.scale_bridge import DeviceRegistered
from libs.postgres.pool import acquire
from libs.security.sealing import Seal, generate_key
from services.scale_bridge.bridges.stores import bridges
from services.scale_bridge.devices.handlers import device
from services.scale_bridge.devices.handlers.secret import Rotated, rotate
from services.scale_bridge.devices.read_models import device as device_model
from tests.services.scale_bridge.at_hand import PASSWORD, a_scale
from tests.services.scale_bridge.service import (
    ANNA,
    BORIS,
    SEAL_KEY,
    Service,
    a_device,
    open_device,
    open_service,
    open_working,
)

SCALE: Final = {"name": "cheese", "ip": "10.0.0.5", "password": PASSWORD}


def unlike(**different: Any) -> dict[str, Any]:
    return SCALE | different


async def test_a_scale_is_registered_with_seven_keys(database: str) -> None:
    async with open_service(database) as service, service.client() as anna:
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
        assert (await anna.get("/devices/")).json() == [answer.json()]
        absent = await anna.get("/devices/99999999999999999999999")
        assert (absent.status_code, absent.json()["detail"]) == (404, "Device not found")

        deleted = await anna.delete(f"/devices/{number}")
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert (await anna.get("/devices")).json() == []
        assert (await anna.delete(f"/devices/{number}")).status_code == 404


async def test_the_password_is_sealed_and_in_no_answer(database: str) -> None:
    async with open_service(database) as service, service.client() as anna:
        number = (await anna.post("/devices", json=unlike(password="9876"))).json()["id"]
        await anna.put(f"/devices/{number}", json={"password": "9875"})
        refused = await anna.put(f"/devices/{number}", json={"password": "98754321"})

        answers = [await anna.get("/devices"), await anna.get(f"/devices/{number}"), refused]
        texts = "".join(answer.text for answer in answers) + repr(await service.events())
        assert refused.status_code == 422
        assert not [digits for digits in ("9876", "9875") if digits in texts]


VALUES: Final[dict[str, list[Any]]] = {
    "name": ["", "x" * 121, "x\0"],
    "description": ["x" * 501],
    "port": [0, 65536, 1.5],
    "protocol": ["UDP"],
    "password": ["", "12345", "пароль"[:4]],
    "ip": [
        *("127.0.0.1", "169.254.169.254", "8.8.8.8", "0.0.0.0", "224.0.0.1"),
        *("scale.local", "2130706433"),
    ],
}
REFUSED: Final = [({where: value}, where) for where in VALUES for value in VALUES[where]]


async def test_an_invalid_device_is_refused(database: str) -> None:
    without_address = {"name": "cheese", "password": PASSWORD}
    async with open_service(database, allow_loopback=False) as service, service.client() as anna:
        number = (await anna.post("/devices", json=unlike(name="other"))).json()["id"]
        registered = [(unlike(**change), where) for change, where in REFUSED]
        for body, where in [*registered, (without_address, "ip")]:
            answer = await anna.post("/devices", json=body)
            assert answer.status_code == 422, body
            [fault] = answer.json()["detail"]
            assert fault["loc"] == ["body", where], body
            assert set(fault) >= {"type", "loc", "msg", "input"}
            assert fault["input"] is None
        for change, where in REFUSED:
            answer = await anna.put(f"/devices/{number}", json=change)
            assert answer.status_code == 422, change
            assert answer.json()["detail"][0]["loc"] == ["body", where], change
        assert len((await anna.get("/devices")).json()) == 1
        assert len(await service.events()) == 1


async def test_a_name_is_used_once_by_one_owner(database: str) -> None:
    """(S18) Until its device is renamed or removed."""
    async with (
        open_service(database) as service,
        service.client() as anna,
        service.client(BORIS) as boris,
    ):
        answers = await asyncio.gather(
            *(anna.post("/devices", json=unlike(port=port)) for port in range(1000, 1012))
        )
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11
        assert len(await service.events(DeviceRegistered)) == 1
        [first] = [one.json()["id"] for one in answers if one.status_code == 201]
        twice = await anna.post("/devices", json=SCALE)
        conflict = (409, "Device with this name already exists")
        assert (twice.status_code, twice.json()["detail"]) == conflict
        other = (await anna.post("/devices", json=unlike(name="meat"))).json()["id"]
        renamed = await anna.put(f"/devices/{other}", json={"name": "cheese"})
        assert (renamed.status_code, renamed.json()["detail"]) == (409, "Device name conflict")
        assert (await boris.post("/devices", json=SCALE)).status_code == 201

        await anna.put(f"/devices/{first}", json={"name": "bread"})
        second = (await anna.post("/devices", json=SCALE)).json()["id"]
        assert (await anna.delete(f"/devices/{second}")).status_code == 204
        third = await anna.post("/devices", json=SCALE)
        assert third.status_code == 201
        assert len({first, second, third.json()["id"]}) == 3


async def test_null_changes_nothing_and_a_description_can_be_emptied(database: str) -> None:
    async with open_service(database) as service, service.client() as anna:
        number = (await anna.post("/devices", json=unlike(description="by the door"))).json()["id"]
        same = await anna.put(f"/devices/{number}", json={"name": None, "port": None})
        emptied = await anna.put(f"/devices/{number}", json={"description": ""})

        assert (same.json()["name"], same.json()["description"]) == ("cheese", "by the door")
        assert (emptied.json()["name"], emptied.json()["description"]) == ("cheese", "")


async def test_only_an_agent_of_the_owner_can_be_named_and_it_can_be_removed(
    database: str,
) -> None:
    """The response is the same for a missing agent and for another account's."""
    mine, boris_own, elsewhere = uuid4(), uuid4(), uuid4()
    async with open_service(database) as service, service.client() as anna:
        for tenant, bridge, owner in (
            ("demo", mine, ANNA),
            ("demo", boris_own, BORIS),
            ("other", elsewhere, ANNA),
        ):
            await bridges.set_owner(service.deps.system, tenant, bridge, owner)
        number = (await anna.post("/devices", json=SCALE)).json()["id"]
        events = len(await service.events())
        for bridge in (uuid4(), boris_own, elsewhere):
            refusals = [
                await anna.put(f"/devices/{number}", json={"bridge": str(bridge)}),
                await anna.post("/devices", json=unlike(name="other", bridge=str(bridge))),
            ]
            for refused in refusals:
                assert refused.status_code == 422
                [fault] = refused.json()["detail"]
                assert fault["loc"] == ["body", "bridge"]
                assert "no bridge of yours" in fault["msg"]
        assert len(await service.events()) == events

        for given, expected in ((mine, mine), (None, mine), ("", None), ("", None)):
            body = {"bridge": given if given is None else str(given)}
            answer = await anna.put(f"/devices/{number}", json=body)
            assert answer.status_code == 200, answer.text
            assert "bridge" not in answer.json()
            known = await device.load_owned(service.deps, "demo", ANNA, number)
            assert known.details.bridge == expected


async def test_at_another_address_the_catalogue_must_be_fetched_again(database: str) -> None:
    """(R9) Also of products that both scales have, and with the drift of neither mixed in."""
    async with open_device(database, 5) as device, a_scale(2) as fewer, a_scale(3) as more:
        for scale, plus in ((fewer, (1, 2)), (more, (1, 3))):
            await device.put(ip=scale.host, port=scale.port)

            refused = await device.post("/upload")
            assert refused.status_code == 409
            assert await device.read("/products/cached") == {"products": {"products": []}}
            assert (await device.patch(1, price=1)).status_code == 404
            assert await device.is_listed_dirty() is True
            assert (await device.read("/shown?plu=1"))["known"] is False

            assert await device.fetch() == scale.base.document
            assert await device.is_listed_dirty() is False
            for plu in plus:
                shown = await device.read(f"/shown?plu={plu}")
                assert (shown["known"], shown["shown"] is not None) == (True, True)
            assert (await device.read("/drift"))["count"] == 0
        assert (len(fewer.base.products), len(more.base.products)) == (2, 3)


def keys(*given: str) -> SecretStr:
    """Sealing keys as a setting."""
    return SecretStr(",".join(given))


async def rotated(service: Service, newest: str) -> Rotated:
    """Rotate the keys as the command does."""
    await service.caught_up()
    async with acquire(service.deps.system) as connection:
        every = await device_model.every(connection)
    return await rotate(service.deps, Seal([newest]), every, actor="command line")


async def test_after_a_rotation_the_old_key_can_be_removed(database: str) -> None:
    secret, newer = "q7Zx", generate_key()
    async with a_scale(3, password=secret) as one, a_scale(3, password=secret) as two:
        async with open_service(database) as service, service.client() as anna:
            devices = [
                await a_device(service, anna, scale, read=False, password=secret)
                for scale in (one, two)
            ]
            assert secret not in repr(await service.events())
        both, new = keys(newer, SEAL_KEY), keys(newer)
        async with open_working(database, seal_keys=both) as service, service.client() as anna:
            await replace(devices[0], service=service, owner=anna).fetch()
            first, again = await rotated(service, newer), await rotated(service, newer)
        async with open_working(database, seal_keys=new) as service, service.client() as anna:
            for device in devices:
                await replace(device, service=service, owner=anna).fetch()

    assert (first.sealed, first.current, first.unreadable) == (2, 0, [])
    assert (again.sealed, again.current, again.unreadable) == (0, 2, [])


async def test_a_password_that_cannot_be_read_is_503_and_the_next_scale_works(
    database: str,
) -> None:
    other = keys(generate_key())
    async with a_scale(3) as one, a_scale(3) as two:
        async with open_working(database) as service, service.client() as anna:
            device = await a_device(service, anna, one)
        async with open_working(database, seal_keys=other) as service, service.client() as anna:
            await a_device(service, anna, two)
            lost = replace(device, service=service, owner=anna)
            for answer in (await lost.get("/products"), await lost.post("/upload")):
                assert (answer.status_code, answer.json()["code"]) == (503, "SecretUnreadable")
                assert isinstance(answer.json()["detail"], str)
            await lost.set_price(2, 5)
            assert len((await rotated(service, generate_key())).unreadable) == 1
            assert (await lost.put(password=PASSWORD)).status_code == 200
            await lost.fetch()

    assert one.transcript.connections == 2
