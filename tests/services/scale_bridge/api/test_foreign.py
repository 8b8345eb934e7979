"""Whoever knows the number of another's scale learns and changes no more than with one that is
nobody's: every rule of the door whose path holds an id must be in the table here (§1.3, S30)."""

from typing import Any, Final
from uuid import uuid4

from httpx import AsyncClient

from services.gateway.domain.doors import SCALES
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import BORIS, fetched, inside, registered, working

NOBODYS: Final = 999_999
MORE: Final = {"products": "1", "revisions": "1", "messages": "1"}
IN_PATHS: Final[dict[tuple[str, str], Any]] = {
    ("GET", "/devices/{}"): None,
    ("PUT", "/devices/{}"): {"name": "mine"},
    ("DELETE", "/devices/{}"): None,
    ("GET", "/devices/{}/products"): None,
    ("GET", "/devices/{}/products/cached"): None,
    ("PATCH", "/devices/{}/products/{}"): {"fields": {"price": 0.01}},
    ("POST", "/devices/{}/upload"): None,
    ("POST", "/devices/{}/verify"): None,
    ("POST", "/devices/{}/probe"): None,
    ("GET", "/devices/{}/auto-update"): None,
    ("PUT", "/devices/{}/auto-update"): {"enabled": True, "interval_minutes": 1},
    ("GET", "/devices/{}/schedule"): None,
    ("PUT", "/devices/{}/schedule"): {"enabled": True, "at": ["08:00"]},
    ("GET", "/devices/{}/drift"): None,
    ("GET", "/devices/{}/profile"): None,
    ("PUT", "/devices/{}/profile"): {"shop": "mine", "next_verification": None},
    ("GET", "/devices/{}/strictness"): None,
    ("PUT", "/devices/{}/strictness"): {"relaxed": ["hash"], "reason": "mine"},
    ("GET", "/devices/{}/products/problems"): None,
    ("GET", "/devices/{}/shown"): None,
    ("GET", "/devices/{}/shown/history"): None,
    ("GET", "/devices/{}/operations"): None,
    ("POST", "/devices/{}/operations"): {"kind": "upload", "full": True},
    ("GET", "/devices/{}/operations/{}"): None,
    ("GET", "/operations/{}"): None,
    ("GET", "/prices/{}/delivery"): None,
    ("GET", "/prices/{}/delivery/stream"): None,
    ("GET", "/devices/{}/revisions"): None,
    ("GET", "/devices/{}/revisions/diff"): None,
    ("GET", "/devices/{}/revisions/{}"): None,
    ("POST", "/devices/{}/revisions/{}/revert"): None,
    ("GET", "/devices/{}/label"): None,
    ("PUT", "/devices/{}/messages/{}"): {"value": "mine"},
    ("DELETE", "/devices/{}/messages/{}"): None,
}
"""The body that would do the most."""
ASKED: Final = {"plu": "1", "at": "2030-01-01T00:00:00Z", "from": "1", "to": "1"}


def address(path: str, number: int, operation: str) -> str:
    """The path of a rule, with ids in it."""
    kind = path.split("/")[3] if path.count("/") > 2 else ""
    if path.startswith("/operations"):
        return path.format(operation)
    return (
        path.format(number, MORE.get(kind, operation))
        if path.count("{}") > 1
        else path.format(number)
    )


async def said(client: AsyncClient, method: str, path: str, body: Any) -> tuple[int, str]:
    answer = await client.request(
        method, path, json=body, params=ASKED if method == "GET" else None
    )
    return answer.status_code, answer.text


def test_every_rule_with_an_id_in_its_path_is_tried() -> None:
    rules = {
        (method, rule.path)
        for rule in SCALES.rules
        for method in rule.methods
        if "{}" in rule.path and method != "HEAD"
    }

    assert rules == IN_PATHS.keys()


async def test_anothers_scale_is_nobodys(database: str) -> None:
    async with (
        a_scale(3) as scale,
        working(database) as made,
        made.client() as anna,
        made.client(BORIS) as boris,
        made.client(tenant="other") as spy,
    ):
        number = await registered(anna, scale)
        await fetched(anna, number)
        done = (await anna.get(f"/devices/{number}/operations")).json()[0]["id"]
        before = [(await anna.get(f"/devices/{number}{rest}")).text for rest in ("", "/revisions")]

        for (method, path), body in IN_PATHS.items():
            for stranger in (boris, spy):
                theirs = await said(stranger, method, address(path, number, done), body)
                nobodys = await said(stranger, method, address(path, NOBODYS, str(uuid4())), body)
                assert theirs[0] == 404, (method, path, theirs)
                assert theirs == nobodys, path

        after = [(await anna.get(f"/devices/{number}{rest}")).text for rest in ("", "/revisions")]
        assert after == before


async def test_lists_hold_nothing_of_others(database: str) -> None:
    async with (
        a_scale(2) as scale,
        inside(database) as made,
        made.client() as anna,
        made.client(BORIS) as boris,
        made.client(tenant="other") as spy,
    ):
        await registered(anna, scale, name="cheese")

        for stranger in (boris, spy):
            for path in ("/devices", "/devices/board", "/shops", "/bridges"):
                status, text = await said(stranger, "GET", path, None)
                assert (status, "cheese" in text) == (200, False), path
