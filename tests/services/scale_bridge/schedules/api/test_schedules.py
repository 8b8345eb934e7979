"""Schedules by interval or calendar over HTTP (§1.1, R10, SCL-5)."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from httpx import AsyncClient, Response

from contracts.scale_bridge import ScheduleSet
from libs.process.service import make_app
from services.scale_bridge.bootstrap import SERVICE
from tests.services.scale_bridge.service import Service, open_service, register

UNSET: Final[dict[str, Any]] = {
    "enabled": False,
    "every_minutes": 1440,
    **dict.fromkeys(("at", "weekdays", "zone", "jitter_minutes", "missed", "grace_minutes")),
    **dict.fromkeys(("next_run_utc", "next_run_local", "last_run_utc", "last_status")),
    **dict.fromkeys(("last_error", "last_skipped")),
    "upcoming": [],
}
DAILY: Final = {"enabled": True, "at": ["20:00", "02:30"], "zone": "Europe/Berlin"}
NEVER: Final = {
    "enabled": False,
    "interval_minutes": 1440,
    "last_run_utc": None,
    "last_status": None,
    "last_error": None,
}


async def put_interval(
    client: AsyncClient, number: int, enabled: bool, minutes: Any, **more: Any
) -> Response:
    """Set a schedule by interval."""
    body = {"enabled": enabled, "interval_minutes": minutes, **more}
    return await client.put(f"/devices/{number}/auto-update", json=body)


def at(service: Service, written: str) -> Service:
    """The API with another clock."""
    now = datetime.fromisoformat(written)
    deps = replace(service.deps, clock=lambda: now)
    return replace(service, deps=deps, app=make_app(SERVICE, deps))


async def test_a_schedule_is_disabled_until_it_is_set(database: str) -> None:
    async with open_service(database) as service, service.client() as anna:
        number = await register(anna)
        assert (await anna.get(f"/devices/{number}/auto-update")).json() == NEVER
        assert (await anna.get(f"/devices/{number}/schedule")).json() == UNSET


async def test_a_new_scale_has_a_schedule_only_if_configured(database: str) -> None:
    """S28: the default interval, which is also answered for a scale with a calendar."""
    configured: dict[str, Any] = {"scheduler_enabled": True, "scheduler_interval": 720}
    async with open_service(database, **configured) as service, service.client() as anna:
        number = await register(anna)
        for _ in range(2):
            answer = (await anna.get(f"/devices/{number}/auto-update")).json()
            assert answer == NEVER | {"enabled": True, "interval_minutes": 720}
            await anna.put(f"/devices/{number}/schedule", json=DAILY)


async def test_settings_are_answered_and_fields_of_the_last_run_are_ignored(database: str) -> None:
    """R10, S11: up to a year."""
    async with open_service(database) as service, service.client() as anna:
        number = await register(anna)
        for minutes, stored in (("60", 60), (1, 1), (525_600, 525_600)):
            runs = {"last_status": "OK", "last_run_utc": "x", "more": 1}
            answer = await put_interval(anna, number, True, minutes, **runs)
            assert answer.status_code == 200
            assert answer.json() == NEVER | {"enabled": True, "interval_minutes": stored}
            assert (await anna.get(f"/devices/{number}/auto-update")).json() == answer.json()


async def test_the_runs_of_a_calendar_are_listed_in_its_zone_and_utc(database: str) -> None:
    """Over the night in which Berlin's clocks leave out 02:30."""
    async with open_service(database) as present:
        service = at(present, "2026-03-27T12:00:00+00:00")
        async with service.client() as anna:
            path = f"/devices/{await register(anna)}/schedule"
            answer = await anna.put(path, json=DAILY)
            assert answer.status_code == 200, answer.text
            assert (await anna.get(path)).json() == answer.json()

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
        "weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
        "zone": "Europe/Berlin",
        "jitter_minutes": 0,
        "missed": "run",
        "grace_minutes": 15,
        "next_run_utc": coming[0][1],
        "next_run_local": coming[0][0],
        "upcoming": [{"local": local, "utc": utc} for local, utc in coming],
    }


async def test_an_answer_can_be_sent_back_unchanged(database: str) -> None:
    """The same settings again change nothing."""
    async with open_service(database) as service, service.client() as anna:
        for body in (
            {**DAILY, "jitter_minutes": 30, "missed": "skip"},
            {"enabled": True, "every_minutes": 60},
        ):
            path = f"/devices/{await register(anna)}/schedule"
            first = (await anna.put(path, json=body)).json()
            again = await anna.put(path, json=first)
            assert (again.status_code, again.json()) == (200, first)
        assert len(await service.events(ScheduleSet)) == 2


async def test_the_default_zone_is_the_services(database: str) -> None:
    async with open_service(database) as service, service.client() as anna:
        body = {"enabled": True, "at": ["08:00"], "weekdays": ["sun"]}
        answer = (await anna.put(f"/devices/{await register(anna)}/schedule", json=body)).json()

    assert (answer["zone"], answer["weekdays"]) == ("Europe/Moscow", ["sun"])
    assert {one["local"][11:] for one in answer["upcoming"]} == {"08:00:00+03:00"}
    sundays = [datetime.fromisoformat(one["local"]) for one in answer["upcoming"]]
    assert {day.weekday() for day in sundays} == {6}
    assert sundays[4] - sundays[0] == timedelta(days=28)


async def test_clients_that_know_only_intervals_work_as_before(database: str) -> None:
    """§1.1: five keys; another interval ends the calendar."""
    async with open_service(database) as present:
        service = at(present, "2026-06-01T10:00:00+00:00")
        async with service.client() as anna:
            number = await register(anna)
            path = f"/devices/{number}/schedule"
            await put_interval(anna, number, False, 720)
            await anna.put(path, json=DAILY)

            legacy = await anna.get(f"/devices/{number}/auto-update")
            assert legacy.json() == NEVER | {"enabled": True, "interval_minutes": 720}
            before = (await anna.get(path)).json()
            assert (await put_interval(anna, number, True, 720)).json() == legacy.json()
            assert (await anna.get(path)).json() == before

            assert (await put_interval(anna, number, False, 720)).json()["enabled"] is False
            off = (await anna.get(path)).json()
            assert (off["enabled"], off["at"], off["next_run_utc"]) == (False, before["at"], None)
            await put_interval(anna, number, True, 720)
            assert (await anna.get(path)).json()["upcoming"] == before["upcoming"]

            hourly = await put_interval(anna, number, True, 60)
            assert hourly.json()["interval_minutes"] == 60
            last = (await anna.get(path)).json()
    assert (last["every_minutes"], last["at"]) == (60, None)
    assert last["next_run_utc"] == "2026-06-01T11:00:00Z"
    assert last["next_run_local"] == "2026-06-01T14:00:00+03:00"
    assert [one["utc"][11:13] for one in last["upcoming"]] == ["11", "12", "13", "14", "15"]


async def test_a_header_tells_that_schedules_are_off(database: str) -> None:
    """R10, S13."""
    interval = {"enabled": True, "every_minutes": 60}
    hourly = {"enabled": True, "interval_minutes": 60}
    async with open_service(database, scheduler_on=False) as service, service.client() as anna:
        device = f"/devices/{await register(anna)}"
        for path, unset, bodies in (
            ("schedule", UNSET, (DAILY, interval)),
            ("auto-update", NEVER, (hourly,)),
        ):
            for body in bodies:
                answer = await anna.put(f"{device}/{path}", json=body)
                assert (answer.status_code, answer.json()["code"]) == (409, "SchedulingOff")
                assert isinstance(answer.json()["detail"], str)
                got = await anna.get(f"{device}/{path}")
                assert (got.json(), got.headers["X-Auto-Update"]) == (unset, "off")
            disabled = await anna.put(f"{device}/{path}", json=bodies[0] | {"enabled": False})
            assert disabled.status_code == 200
