"""The plan: reproducible, plausible, and full of trouble."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from deploy.demo import truth
from deploy.demo.mischief import PRANKS
from deploy.demo.plan import Plan, plan_day

ENDS_AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
PLAN = plan_day(7, ends_at=ENDS_AT)


def shape(plan: Plan) -> list[tuple[float, str]]:
    return [(scan.at, scan.event["type"]) for each in plan.devices for scan in each.scans]


def test_the_same_seed_gives_the_same_day_with_other_names_and_ids_at_another_moment() -> None:
    assert plan_day(7, ends_at=ENDS_AT) == PLAN
    assert shape(plan_day(8, ends_at=ENDS_AT)) != shape(PLAN)
    other = plan_day(7, ends_at=ENDS_AT + timedelta(minutes=1))

    assert shape(other) == shape(PLAN)
    assert other.tag != PLAN.tag
    assert not {e["uuid"] for e in other.events()} & {e["uuid"] for e in PLAN.events()}
    assert not {e["operator"] for e in other.events()} & {e["operator"] for e in PLAN.events()}
    clients = [{e["client"] for e in plan.events() if e["client"]} for plan in (PLAN, other)]
    assert not clients[0] & clients[1]


@pytest.mark.parametrize("operators", [1, 3, 20])
def test_any_number_of_people_can_work(operators: int) -> None:
    plan = plan_day(1, ends_at=ENDS_AT, operators=operators)

    assert len({device.operator for device in plan.devices}) == operators


def test_ids_are_unique_and_scans_come_in_the_order_of_time() -> None:
    keys = [scan.key for device in PLAN.devices for scan in device.scans]

    assert len(set(keys)) == len(keys)
    for device in PLAN.devices:
        times = [scan.at for scan in device.scans]
        assert times == sorted(times)
        assert times[-1] <= PLAN.seconds


@pytest.mark.parametrize("seed", range(5))
def test_a_day_has_its_size_and_every_kind_of_event_and_of_trouble(seed: int) -> None:
    plan = plan_day(seed, ends_at=ENDS_AT)

    assert len(plan.devices) == 8
    assert 4000 <= sum(1 for _ in plan.events()) <= 6000
    kinds = {event["type"] for event in plan.events()}
    errors = {event["code"] for event in plan.events() if event["type"] == "ERROR"}

    assert kinds == {
        *("CITY", "BOX", "ITEM", "CLOSE", "AUTO_CLOSE", "ERROR", "CITY_CLOSE", "WEIGHED")
    }
    assert errors == {"NO_CITY", "NO_BOX", "BOX_NOT_CLOSED", "CITY_NOT_CLOSED", "CYRILLIC_ERROR"}
    assert all(
        bool(event["details"]) == (event["code"] == "CYRILLIC_ERROR")
        for event in plan.events()
        if event["type"] == "ERROR"
    )
    weathers = [device.weather for device in plan.devices]
    assert all(weather.lost and weather.doubled for weather in weathers)
    assert all(not weather.lost & weather.doubled for weather in weathers)
    assert any(end - begin > 1800 for weather in weathers for begin, end in weather.offline)
    assert any(weather.resends for weather in weathers)


def test_five_of_the_pranks_are_quarantined_and_five_are_counted() -> None:
    event = next(event for event in PLAN.events() if event["type"] == "ITEM")

    unfit = {name for name, prank in PRANKS.items() if not truth.is_fit(prank(event))}

    assert unfit == {"NUL", "half a character", "501 characters", "seconds", "no UUID"}
    assert Counter(truth.is_fit(each) for each in PLAN.events())[False] == 2 * len(unfit)


def test_only_the_clock_that_is_ahead_gives_future_times() -> None:
    latest = {
        n: max(truth.moment(scan.event) for scan in device.scans)
        for n, device in enumerate(PLAN.devices)
    }

    assert {n for n, moment in latest.items() if moment > ENDS_AT} == {2}
    assert min(truth.moment(s.event) for s in PLAN.devices[2].scans) > ENDS_AT + 10 * truth.SKEW
    assert latest[5] < ENDS_AT - timedelta(hours=4)


def test_equal_barcodes_are_scanned_into_one_box_and_names_and_codes_are_not_all_ascii() -> None:
    items = [event for event in PLAN.events() if event["type"] == "ITEM"]

    assert Counter((event["box"], event["code"]) for event in items).most_common(1)[0][1] > 1
    for name in ("operator", "client", "code"):
        assert any(not event[name].isascii() for event in items), name
