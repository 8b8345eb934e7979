"""Input that cannot be is 422, names the place, and stores nothing: for each route a table."""

import json
from typing import Any, Final

import pytest

from tests.services.scale_bridge.service import open_device
from tests.services.scale_bridge.texts import a_base

DAILY: Final = {"enabled": True, "at": ["20:00", "02:30"], "zone": "Europe/Berlin"}
EVERY: Final = {"at": None, "every_minutes": 60}
MINUTES: Final = [0, -5, 525_601, 10**12, 1.5, "x", None]
SCHEDULES: Final[list[tuple[dict[str, Any], str]]] = [
    ({"at": []}, "at"),
    ({"at": ["24:00"]}, "at"),
    ({"at": ["8:00"]}, "at"),
    ({"at": ["08:00\n"]}, "at"),
    ({"at": ["٠٨:٠٠"]}, "at"),
    ({"at": "08:00"}, "at"),
    ({"at": [f"00:{minute:02}" for minute in range(25)]}, "at"),
    ({"at": None}, "at"),
    ({"weekdays": []}, "weekdays"),
    ({"weekdays": ["Monday"]}, "weekdays"),
    ({"weekdays": [1]}, "weekdays"),
    ({"zone": "Europe/Moskow"}, "zone"),
    ({"zone": "right/Europe/Moscow"}, "zone"),
    ({"zone": "../../etc/passwd"}, "zone"),
    ({"zone": ""}, "zone"),
    ({"zone": "A" * 65}, "zone"),
    ({"jitter_minutes": 121}, "jitter_minutes"),
    ({"jitter_minutes": -1}, "jitter_minutes"),
    ({"missed": "twice"}, "missed"),
    ({"grace_minutes": 1441}, "grace_minutes"),
    ({"enabled": None}, "enabled"),
    ({"every_minutes": 0, "at": None}, "every_minutes"),
    ({"every_minutes": 525_601, "at": None}, "every_minutes"),
    ({"every_minutes": 60}, "at"),
    (EVERY | {"zone": "UTC"}, "zone"),
    (EVERY | {"zone": None, "missed": "run"}, "missed"),
]
WEIGHT: Final[dict[str, Any]] = {
    "name": "весовой",
    "prefix": "20",
    "code_digits": 5,
    "measure": "weight_g",
    "measure_digits": 5,
    "price_check_digit": False,
}
BARCODE_RULES: Final = [
    [WEIGHT, WEIGHT | {"name": "x"}],
    [WEIGHT, WEIGHT | {"name": "x", "prefix": "201", "code_digits": 4}],
    [WEIGHT, WEIGHT | {"prefix": "02"}],
    [WEIGHT | {"code_digits": 6}],
    [WEIGHT | {"prefix": "46"}],
    [WEIGHT | {"prefix": "2x"}],
    [WEIGHT | {"price_check_digit": True}],
    [WEIGHT | {"measure": "litres"}],
    [WEIGHT | {"name": ""}],
    [WEIGHT | {"name": f"{number}"} for number in range(101)],
]
BODIES: Final[dict[str, list[tuple[Any, str]]]] = {
    "auto-update": [
        ({"enabled": True, "interval_minutes": minutes}, "interval_minutes") for minutes in MINUTES
    ],
    "schedule": [(DAILY | body, where) for body, where in SCHEDULES],
    "profile": [
        ({"price_list": "x", "shop": "м" * 121}, "shop"),
        ({"price_list": "x", "group": "a\0"}, "group"),
        ({"price_list": "x", "serial_number": 5}, "serial_number"),
        ({"price_list": "x", "model": "M-ER 1"}, ""),
        ({"price_list": "x", "next_verification": "31-12-2026"}, "next_verification"),
        ({"price_list": "x", "next_verification": "2026-02-30"}, "next_verification"),
    ],
    "strictness": [
        ({"relaxed": ["hash"]}, "reason"),
        ({"relaxed": ["hash"], "reason": ""}, "reason"),
        ({"relaxed": ["hash"], "reason": "  "}, ""),
        ({"relaxed": ["everything"], "reason": "x"}, ""),
        ({"relaxed": "hash", "reason": "x"}, "relaxed"),
        ({"reason": "x"}, "relaxed"),
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
ABSOLUTE: Final = (
    "/prices/0/delivery",
    "/prices/x/delivery",
    "/prices/deliveries?price_id=1",
)
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
