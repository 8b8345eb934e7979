"""Schedules by a shop's clock as they are set and shown (SCL-5)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from contracts.scale_bridge import ScheduleSet
from services.scale_bridge.bootstrap import create_app
from tests.services.scale_bridge.inside import BORIS, Inside, inside
from tests.services.scale_bridge.scheduled import NEVER, a_device, put

BERLIN = ZoneInfo("Europe/Berlin")
UNSET: dict[str, Any] = {
    "enabled": False,
    "every_minutes": 1440,
    "at": None,
    "weekdays": None,
    "zone": None,
    "jitter_minutes": None,
    "missed": None,
    "grace_minutes": None,
    "next_run_utc": None,
    "next_run_local": None,
    "last_run_utc": None,
    "last_status": None,
    "last_error": None,
    "last_skipped": None,
    "upcoming": [],
}
DAILY = {"enabled": True, "at": ["20:00", "02:30"], "zone": "Europe/Berlin"}


def at(made: Inside, written: str) -> Inside:
    """The API as it would be at another time."""
    now = datetime.fromisoformat(written)
    deps = replace(made.deps, clock=lambda: now)
    return replace(made, deps=deps, app=create_app(deps))


async def test_it_is_disabled_until_it_is_set(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)
        assert (await anna.get(f"/devices/{number}/schedule")).json() == UNSET


async def test_a_calendar_is_set_and_its_runs_are_told_by_both_clocks(database: str) -> None:
    """Over the night in which Berlin's clocks leave out 02:30."""
    async with inside(database) as inner:
        made = at(inner, "2026-03-27T12:00:00+00:00")
        async with made.client() as anna:
            number = await a_device(anna)
            answer = await anna.put(f"/devices/{number}/schedule", json=DAILY)
            assert answer.status_code == 200, answer.text
            assert (await anna.get(f"/devices/{number}/schedule")).json() == answer.json()

    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    coming = [
        ("2026-03-27T20:00:00+01:00", "2026-03-27T19:00:00Z"),
        ("2026-03-28T02:30:00+01:00", "2026-03-28T01:30:00Z"),
        ("2026-03-28T20:00:00+01:00", "2026-03-28T19:00:00Z"),
        ("2026-03-29T03:00:00+02:00", "2026-03-29T01:00:00Z"),
        ("2026-03-29T20:00:00+02:00", "2026-03-29T18:00:00Z"),
    ]
    assert answer.json() == UNSET | {
        "enabled": True,
        "every_minutes": None,
        "at": ["02:30", "20:00"],
        "weekdays": days,
        "zone": "Europe/Berlin",
        "jitter_minutes": 0,
        "missed": "run",
        "grace_minutes": 15,
        "next_run_utc": coming[0][1],
        "next_run_local": coming[0][0],
        "upcoming": [{"local": local, "utc": utc} for local, utc in coming],
    }


async def test_what_was_answered_can_be_sent_back(database: str) -> None:
    """Setting the same again shifts nothing."""
    async with inside(database) as made, made.client() as anna:
        for number, body in (
            (await a_device(anna), {**DAILY, "jitter_minutes": 30, "missed": "skip"}),
            (await a_device(anna, "Хлеб"), {"enabled": True, "every_minutes": 60}),
        ):
            path = f"/devices/{number}/schedule"
            told = (await anna.put(path, json=body)).json()
            again = await anna.put(path, json=told)
            assert (again.status_code, again.json()) == (200, told)
        assert len(await made.events(ScheduleSet)) == 2


async def test_without_a_zone_it_is_the_services(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)
        body = {"enabled": True, "at": ["08:00"], "weekdays": ["sun"]}
        told = (await anna.put(f"/devices/{number}/schedule", json=body)).json()

    assert (told["zone"], told["weekdays"]) == ("Europe/Moscow", ["sun"])
    assert {one["local"][11:] for one in told["upcoming"]} == {"08:00:00+03:00"}
    sundays = [datetime.fromisoformat(one["local"]) for one in told["upcoming"]]
    assert {day.weekday() for day in sundays} == {6}
    assert sundays[4] - sundays[0] == timedelta(days=28)


async def test_a_spread_is_the_scales_own_and_stays(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        body = {**DAILY, "jitter_minutes": 120}
        begins = []
        for name in ("Сыр", "Хлеб"):
            path = f"/devices/{await a_device(anna, name)}/schedule"
            told = (await anna.put(path, json=body)).json()["upcoming"]
            off = (await anna.put(path, json=body | {"enabled": False})).json()
            assert (off["next_run_utc"], off["upcoming"]) == (None, [])
            assert (await anna.put(path, json=body)).json()["upcoming"] == told
            begins.append(told)
    assert begins[0] != begins[1]


BAD: list[tuple[dict[str, Any], str]] = [
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
    ({"every_minutes": 60, "at": None, "zone": "UTC"}, "zone"),
    ({"every_minutes": 60, "at": None, "zone": None, "missed": "run"}, "missed"),
]


async def test_what_cannot_be_a_schedule_is_422_and_says_where(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)
        for bad, where in BAD:
            answer = await anna.put(f"/devices/{number}/schedule", json=DAILY | bad)
            assert answer.status_code == 422, bad
            first = answer.json()["detail"][0]
            assert first["loc"][:2] == ["body", where], bad
            assert first["msg"], bad
            assert "passwd" not in answer.text
        assert await made.events(ScheduleSet) == []
        assert (await anna.get(f"/devices/{number}/schedule")).json() == UNSET


async def test_an_interval_is_set_here_too_and_ends_a_calendar(database: str) -> None:
    async with inside(database) as inner:
        made = at(inner, "2026-06-01T10:00:00+00:00")
        async with made.client() as anna:
            path = f"/devices/{await a_device(anna)}/schedule"
            await anna.put(path, json=DAILY)
            told = (await anna.put(path, json={"enabled": True, "every_minutes": 1440})).json()

    assert (told["every_minutes"], told["at"], told["zone"]) == (1440, None, None)
    assert told["next_run_utc"] == "2026-06-02T10:00:00Z"
    assert told["next_run_local"] == "2026-06-02T13:00:00+03:00"
    assert [one["utc"][8:10] for one in told["upcoming"]] == ["02", "03", "04", "05", "06"]


async def test_clients_that_know_intervals_only_see_and_do_what_they_did(database: str) -> None:
    """§1.1: the five keys; switched, and another interval ends the calendar."""
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)
        path = f"/devices/{number}/schedule"
        await put(anna, number, False, 720)
        await anna.put(path, json=DAILY)

        legacy = await anna.get(f"/devices/{number}/auto-update")
        assert legacy.json() == NEVER | {"enabled": True, "interval_minutes": 720}
        before = (await anna.get(path)).json()
        assert (await put(anna, number, True, 720)).json() == legacy.json()
        assert (await anna.get(path)).json() == before

        assert (await put(anna, number, False, 720)).json()["enabled"] is False
        off = (await anna.get(path)).json()
        assert (off["enabled"], off["at"], off["next_run_utc"]) == (False, before["at"], None)
        await put(anna, number, True, 720)
        assert (await anna.get(path)).json()["upcoming"] == before["upcoming"]

        assert (await put(anna, number, True, 60)).json()["interval_minutes"] == 60
        ended = (await anna.get(path)).json()
        assert (ended["every_minutes"], ended["at"]) == (60, None)
        due = datetime.fromisoformat(ended["next_run_utc"]) - datetime.now(UTC)
        assert timedelta(minutes=55) < due <= timedelta(minutes=60)


async def test_a_scale_that_only_had_a_calendar_shows_the_default_interval(database: str) -> None:
    async with inside(database, scheduler_interval=720) as made, made.client() as anna:
        number = await a_device(anna)
        await anna.put(f"/devices/{number}/schedule", json=DAILY)
        legacy = (await anna.get(f"/devices/{number}/auto-update")).json()
        assert legacy == NEVER | {"enabled": True, "interval_minutes": 720}


async def test_where_it_is_switched_off_for_everybody_it_is_said(database: str) -> None:
    """R10, S13."""
    async with inside(database, scheduler_on=False) as made, made.client() as anna:
        path = f"/devices/{await a_device(anna)}/schedule"
        for body in (DAILY, {"enabled": True, "every_minutes": 60}):
            answer = await anna.put(path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (409, "SchedulingOff")
        got = await anna.get(path)
        assert (got.json(), got.headers["X-Auto-Update"]) == (UNSET, "off")
        assert (await anna.put(path, json=DAILY | {"enabled": False})).status_code == 200


async def test_only_who_may_write_sets_it_and_nobody_elses(database: str) -> None:
    async with (
        inside(database) as made,
        made.client() as anna,
        made.client(scopes=["scales:read"]) as reader,
        made.client(BORIS) as boris,
    ):
        path = f"/devices/{await a_device(anna)}/schedule"
        assert (await reader.get(path)).status_code == 200
        assert (await reader.put(path, json=DAILY)).status_code == 403
        for answer in (await boris.get(path), await boris.put(path, json=DAILY)):
            assert (answer.status_code, answer.json()["detail"]) == (404, "Device not found")
