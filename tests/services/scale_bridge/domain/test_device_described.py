"""What a scale is, which rules are relaxed for it, and when it is to be verified."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from contracts.scale_bridge import DeviceProfiled, ScaleBridgeEvent, StrictnessSet, VerificationDue
from libs.eventsourcing.testing import Scenario
from services.scale_bridge.domain.catalogue import STRICT, Strictness
from services.scale_bridge.domain.device import DEVICE, Change, Details, DeviceUnknown
from services.scale_bridge.domain.profile import ModelUnknown, Profile, SetProfile
from services.scale_bridge.domain.relaxation import (
    RULES,
    ReasonMissing,
    RuleUnknown,
    SetStrictness,
)
from services.scale_bridge.domain.verification import Remind, days_left, nearest, reminder_id
from tests.services.scale_bridge.domain.test_device import DETAILS, ID, REGISTERED, REMOVED

NOW = datetime(2026, 11, 1, 9, tzinfo=UTC)
DUE = date(2026, 12, 1)
PROFILE = Profile(shop="A", group="cheese", model="M-ER 725", next_verification=DUE)


def profile(**different: Any) -> SetProfile:
    told = replace(PROFILE, **different)
    return SetProfile(device_id=ID, profile=told, profiled_by="anna", now=NOW)


def profiled(**different: Any) -> DeviceProfiled:
    told: dict[str, Any] = {"shop": "A", "group": "cheese", "price_list": "", "model": "M-ER 725"}
    told |= {"serial_number": "", "next_verification": DUE, **different}
    return DeviceProfiled(device_id=ID, profiled_by="anna", profiled_at=NOW, **told)


def relax(*rules: str, reason: str = "old firmware") -> SetStrictness:
    return SetStrictness(device_id=ID, relaxed=rules, reason=reason, set_by="anna", now=NOW)


def relaxed(*rules: str, reason: str = "old firmware") -> StrictnessSet:
    return StrictnessSet(device_id=ID, relaxed=rules, reason=reason, set_by="anna", set_at=NOW)


def remind(today: date, due_on: date = DUE) -> Remind:
    return Remind(device_id=ID, due_on=due_on, today=today, now=NOW)


def due(days: int, due_on: date = DUE) -> VerificationDue:
    return VerificationDue(device_id=ID, due_on=due_on, days=days, announced_at=NOW)


def test_a_profile_is_told_as_a_whole_and_once() -> None:
    """(SCL-1)"""
    Scenario(DEVICE).given(REGISTERED).when(profile()).then(profiled())
    Scenario(DEVICE).given(REGISTERED, profiled()).when(profile()).then_nothing()
    known = Scenario(DEVICE).given(REGISTERED, profiled())
    known.when(profile(serial_number="7")).then(profiled(serial_number="7"))


def test_a_model_that_is_not_in_the_table_is_refused() -> None:
    """(SCL-8)"""
    Scenario(DEVICE).given(REGISTERED).when(profile(model="M-ER 1")).then_refused(ModelUnknown)


@pytest.mark.parametrize("command", [profile(), relax("hash"), remind(DUE)], ids=["1", "2", "3"])
def test_nothing_is_said_of_a_scale_that_nobody_has(command: Any) -> None:
    Scenario(DEVICE).when(command).then_refused(DeviceUnknown)
    Scenario(DEVICE).given(REGISTERED, REMOVED).when(command).then_refused(DeviceUnknown)


def test_a_change_of_address_keeps_what_the_scale_is() -> None:
    details: Details = replace(DETAILS, ip="10.0.0.6")
    before = DEVICE.state_after([REGISTERED, profiled(), relaxed("hash"), due(30)])
    [changed] = DEVICE.decide(before, Change(device_id=ID, details=details, now=NOW))
    after = DEVICE.evolve(before, changed)

    assert (after.profile, after.relaxation, after.told) == (
        before.profile,
        before.relaxation,
        before.told,
    )


def test_rules_are_relaxed_one_by_one_with_a_reason() -> None:
    """(R5, R24)"""
    Scenario(DEVICE).given(REGISTERED).when(relax("hash")).then(relaxed("hash"))
    Scenario(DEVICE).given(REGISTERED, relaxed("hash")).when(relax("hash")).then_nothing()
    Scenario(DEVICE).given(REGISTERED).when(relax("unique_plus", "hash", "hash")).then(
        relaxed("hash", "unique_plus")
    )
    again = Scenario(DEVICE).given(REGISTERED, relaxed("hash"))
    again.when(relax(reason="mended")).then(relaxed(reason="mended"))


def test_a_rule_is_known_and_a_reason_is_given() -> None:
    """(R5)"""
    Scenario(DEVICE).given(REGISTERED).when(relax("all")).then_refused(RuleUnknown)
    Scenario(DEVICE).given(REGISTERED).when(relax("hash", reason=" ")).then_refused(ReasonMissing)


@pytest.mark.parametrize("rule", RULES)
def test_relaxing_a_rule_relaxes_no_other(rule: str) -> None:
    """(R5)"""
    device = DEVICE.state_after([REGISTERED, relaxed("hash"), relaxed(rule)])

    assert device.relaxation.strictness == Strictness(**{rule: False})
    assert DEVICE.state_after([REGISTERED, relaxed(rule), relaxed()]).relaxation.strictness == (
        STRICT
    )


def test_a_rule_of_an_older_program_is_none() -> None:
    device = DEVICE.state_after([REGISTERED, relaxed("colour")])

    assert device.relaxation.strictness == STRICT


@pytest.mark.parametrize(
    ("left", "days"), [(31, None), (30, 30), (8, 30), (7, 7), (1, 7), (0, 0), (-400, 0)]
)
def test_the_reminder_of_today_is_the_nearest(left: int, days: int | None) -> None:
    """(SCL-14)"""
    today = DUE - timedelta(days=left)
    assert nearest(DUE, today) == days
    assert (days_left(DUE, today), days_left(None, today)) == (left, None)

    scenario = Scenario(DEVICE).given(REGISTERED, profiled()).when(remind(today))
    scenario.then_nothing() if days is None else scenario.then(due(days))


def test_each_reminder_comes_once_and_late_ones_are_left_out() -> None:
    """(SCL-14)"""
    history: list[ScaleBridgeEvent] = [REGISTERED, profiled()]
    told = []
    for left in range(40, -5, -1):
        events = DEVICE.decide(DEVICE.state_after(history), remind(DUE - timedelta(days=left)))
        told += [(left, event.days) for event in events if isinstance(event, VerificationDue)]
        history += events
    assert told == [(30, 30), (7, 7), (0, 0)]

    slept = Scenario(DEVICE).given(REGISTERED, profiled(), due(30))
    slept.when(remind(DUE + timedelta(days=9))).then(due(0))
    back = Scenario(DEVICE).given(REGISTERED, profiled(), due(0))
    back.when(remind(DUE - timedelta(days=9))).then_nothing()


def test_with_another_date_the_reminders_count_anew() -> None:
    """(SCL-14)"""
    later = DUE + timedelta(days=365)
    told: list[ScaleBridgeEvent] = [REGISTERED, profiled(), due(30), due(7), due(0)]
    told.append(profiled(next_verification=later))

    Scenario(DEVICE).given(*told).when(remind(DUE)).then_nothing()
    Scenario(DEVICE).given(*told).when(remind(later - timedelta(days=30), later)).then(
        due(30, later)
    )
    ids = {reminder_id(ID, day, days) for day in (DUE, later) for days in (30, 7, 0)}
    assert len(ids) == 6


def test_without_a_date_nobody_is_reminded() -> None:
    nobody = Scenario(DEVICE).given(REGISTERED, profiled(next_verification=None))
    nobody.when(remind(DUE)).then_nothing()
