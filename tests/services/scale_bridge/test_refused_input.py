"""Input that cannot be is 422, names the place, and stores nothing: for each route a table."""

import json
from typing import Any, Final

import pytest

from libs.testing.callers import bearer
from libs.testing.routes import assert_incomplete_bodies_time_out
from tests.services.scale_bridge.barcodes.test_api import BY_WEIGHT
from tests.services.scale_bridge.catalogue.api.test_label import a_base
from tests.services.scale_bridge.schedules.api.test_schedules import DAILY
from tests.services.scale_bridge.service import ANNA, open_device, open_service

EVERY: Final = {"at": None, "every_minutes": 60}
MINUTES: Final = [0, -5, 525_601, 10**12, 1.5, "x", None]
SCHEDULES: Final[dict[str, list[Any]]] = {
    "at": [[], None, "08:00", ["24:00"], ["8:00"], ["08:00\n"], ["٠٨:٠٠"]],
    "weekdays": [[], ["Monday"], [1]],
    "zone": ["Europe/Moskow", "right/Europe/Moscow", "../../etc/passwd", "", "A" * 65],
    "jitter_minutes": [121, -1],
    "missed": ["twice"],
    "grace_minutes": [1441],
    "enabled": [None],
}
COMBINED: Final[list[tuple[dict[str, Any], str]]] = [
    ({"at": [f"00:{minute:02}" for minute in range(25)]}, "at"),
    ({"every_minutes": 0, "at": None}, "every_minutes"),
    ({"every_minutes": 525_601, "at": None}, "every_minutes"),
    ({"every_minutes": 60}, "at"),
    (EVERY | {"zone": "UTC"}, "zone"),
    (EVERY | {"zone": None, "missed": "run"}, "missed"),
]
BARCODE_RULES: Final = [
    [BY_WEIGHT, BY_WEIGHT | {"name": "x"}],
    *([BY_WEIGHT | {"prefix": prefix}] for prefix in ("46", "2x")),
    *([BY_WEIGHT | {"code_digits": 6}], [BY_WEIGHT | {"price_check_digit": True}]),
    *([BY_WEIGHT | {"measure": "litres"}], [BY_WEIGHT | {"name": ""}]),
    [BY_WEIGHT | {"name": f"{number}"} for number in range(101)],
]
PROFILES: Final[list[tuple[str, Any]]] = [
    *(("shop", "м" * 121), ("group", "a\0"), ("serial_number", 5)),
    *(("next_verification", day) for day in ("31-12-2026", "2026-02-30")),
]
BODIES: Final[dict[str, list[tuple[Any, str]]]] = {
    "auto-update": [
        ({"enabled": True, "interval_minutes": minutes}, "interval_minutes") for minutes in MINUTES
    ],
    "schedule": [
        *((DAILY | {where: value}, where) for where in SCHEDULES for value in SCHEDULES[where]),
        *((DAILY | body, where) for body, where in COMBINED),
    ],
    "profile": [
        *(({"price_list": "x", where: value}, where) for where, value in PROFILES),
        ({"price_list": "x", "model": "M-ER 1"}, ""),
    ],
    "strictness": [
        *(({"relaxed": ["hash"], **reason}, "reason") for reason in ({}, {"reason": ""})),
        *(({"reason": "x", **rules}, "relaxed") for rules in ({}, {"relaxed": "hash"})),
        ({"relaxed": ["everything"], "reason": "x"}, ""),
        ({"relaxed": ["hash"], "reason": "  "}, ""),
    ],
    "messages/1": [({"value": value}, "value") for value in ("", "x" * 4001, "a\0b", "\ud800")],
    "/barcodes/rules": [({"rules": rules}, "rules") for rules in BARCODE_RULES],
}
"""Bodies of PUT by the path below a device, and the field at fault if it is one that has limits."""
NO_CURSORS: Final = (
    "",
    "x",
    "!!!!",
    "é",
    "WyJhIiwiYiIsImMiXQ",  # three parts
    "WzEsMl0",  # two numbers
    "WyIyMDI2LTAxLTAxIiwiMSJd",  # no id
    "WyJcdTAwMDAiXQ",  # a PLU that no database has
    "eyJhIjoxfQ",  # an object
    "x" * 5000,
)
LISTS: Final = {"operations?": 500, "shown/history?plu=1&": 1000, "drift?": 20_000}
"""The most that may be on a page."""
ABSOLUTE: Final = ("/prices/0/delivery", "/prices/x/delivery", "/prices/deliveries?price_id=1")
MOMENTS: Final = ("soon", "2026-13-45T99:00:00Z", "Tuesday")


@pytest.mark.parametrize("path", BODIES)
async def test_a_body_that_cannot_be_is_422_and_nothing_is_stored(database: str, path: str) -> None:
    async with open_device(database, base=a_base()) as device:
        url = path if path.startswith("/") else f"{device.path}/{path}"
        readable = f"{device.path}/label" if path.startswith("messages") else url
        before = (await device.owner.get(readable)).json()
        events = await device.service.events()
        for body, where in BODIES[path]:
            answer = await device.owner.put(
                url, content=json.dumps(body), headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 422, body
            detail = answer.json()["detail"]
            if where:
                assert detail[0]["loc"][:2] == ["body", where], (body, detail)
            assert detail[0]["msg"] if where else isinstance(detail, str), body
            assert "passwd" not in answer.text
        assert await device.service.events() == events
        assert (await device.owner.get(readable)).json() == before


async def test_what_cannot_be_asked_for_is_422(database: str) -> None:
    async with open_device(database, 1) as device:
        cursors = [f"{path}cursor={cursor}" for path in LISTS for cursor in NO_CURSORS]
        limits = [f"{path}limit={limit}" for path in LISTS for limit in (LISTS[path] + 1, -1)]
        moments = [f"shown?plu=1&at={moment}" for moment in MOMENTS]
        below = [f"{device.path}/{rest}" for rest in (*cursors, *limits, *moments)]
        for path in (*ABSOLUTE, *below):
            answer = await device.owner.get(path)
            assert answer.status_code == 422, path
            assert not [moment for moment in MOMENTS if moment in answer.text]
        for path, most in LISTS.items():
            assert (await device.get(f"/{path}limit={most}")).status_code == 200, path
        for message in ("0", "x", str(2**31)):
            answer = await device.put(f"/messages/{message}", value="x")
            assert answer.status_code == 422, message
        assert (await device.post("/operations", kind="explode")).status_code == 422


async def test_no_route_waits_for_a_body_that_does_not_come(database: str) -> None:
    anyone = bearer("scale_bridge", subject=str(ANNA), scopes=("scales:read", "scales:write"))
    async with open_service(database, body_seconds=0.05) as service:
        late = await assert_incomplete_bodies_time_out(service.app, anyone)

    assert len(late) > 10
