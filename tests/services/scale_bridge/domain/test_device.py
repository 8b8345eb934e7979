"""A device is registered once, changes as a whole, and is gone for good; what it is, which rules
are relaxed for it, and when it is to be verified."""

from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from contracts.scale_bridge import (
    DeviceChanged,
    DeviceProfiled,
    DeviceRegistered,
    DeviceRemoved,
    ScaleBridgeEvent,
    StrictnessSet,
    VerificationDue,
)
from libs.eventsourcing.testing import Scenario
from services.scale_bridge.domain.catalogue import STRICT, Strictness
from services.scale_bridge.domain.device import (
    DEVICE,
    Change,
    Details,
    DeviceKnown,
    DeviceUnknown,
    Register,
    Remove,
    device_id_of,
    moves,
)
from services.scale_bridge.domain.password import BadPassword, checked
from services.scale_bridge.domain.profile import ModelUnknown, Profile, SetProfile
from services.scale_bridge.domain.relaxation import (
    RULES,
    ReasonMissing,
    RuleUnknown,
    SetStrictness,
)
from services.scale_bridge.domain.verification import Remind, days_left, nearest, reminder_id
from tests.services.scale_bridge.usual import Usual

ID = device_id_of(7)
DUE = date(2026, 12, 1)
DETAILS = Details(
    name="cheese", description="", ip="10.0.0.5", port=1111, protocol="TCP", password="sealed"
)
PROFILE = Profile(shop="A", group="cheese", model="M-ER 725", next_verification=DUE)
NOW = datetime(2026, 11, 1, 9, tzinfo=UTC)
made = Usual(NOW, device_id=ID, number=7, owner=UUID(int=1), reason="old firmware")

REGISTER = made(Register, details=DETAILS)
REGISTERED, REMOVED = made(DeviceRegistered, **asdict(DETAILS)), made(DeviceRemoved)
KNOWN = Scenario(DEVICE).given(REGISTERED)


def change(**different: Any) -> Change:
    return made(Change, details=replace(DETAILS, **different))


def describe(**different: Any) -> SetProfile:
    return made(SetProfile, profile=replace(PROFILE, **different))


def described(**different: Any) -> DeviceProfiled:
    return made(DeviceProfiled, **(asdict(PROFILE) | different))


def relax(*rules: str, **different: Any) -> SetStrictness:
    return made(SetStrictness, relaxed=rules, **different)


def relaxed(*rules: str, **different: Any) -> StrictnessSet:
    return made(StrictnessSet, relaxed=rules, **different)


def remind(left: int, due_on: date = DUE) -> Remind:
    """So many days before 1 December."""
    return made(Remind, due_on=due_on, today=DUE - timedelta(days=left))


def due(days: int, due_on: date = DUE) -> VerificationDue:
    return made(VerificationDue, due_on=due_on, days=days)


def test_a_device_is_registered_once() -> None:
    Scenario(DEVICE).when(REGISTER).then(REGISTERED)
    KNOWN.when(REGISTER).then_refused(DeviceKnown)


def test_a_change_says_all_of_what_is_then() -> None:
    after = made(DeviceChanged, **asdict(DETAILS) | {"name": "meat", "port": 1112})

    KNOWN.when(change(name="meat", port=1112)).then(after)
    KNOWN.when(change()).then_nothing()


def test_a_device_is_removed_for_good() -> None:
    remove = made(Remove)

    KNOWN.when(remove).then(REMOVED)
    KNOWN.given(REMOVED).when(remove).then_nothing()
    Scenario(DEVICE).when(remove).then_refused(DeviceUnknown)


@pytest.mark.parametrize(
    "command",
    [change(), describe(), relax("hash"), remind(0)],
    ids=["change", "describe", "relax", "remind"],
)
def test_of_a_scale_that_is_unknown_or_removed_nothing_is_recorded(command: Any) -> None:
    KNOWN.given(REMOVED).when(command).then_refused(DeviceUnknown)
    Scenario(DEVICE).when(command).then_refused(DeviceUnknown)


def test_only_another_address_makes_another_scale_of_it() -> None:
    """(R9)"""
    assert moves(DETAILS, replace(DETAILS, ip="10.0.0.6"))
    assert moves(DETAILS, replace(DETAILS, port=1112))
    assert not moves(DETAILS, replace(DETAILS, name="meat", password="other", description="x"))


@pytest.mark.parametrize("password", ["1234", "a b~"])
def test_four_ascii_characters_are_a_password(password: str) -> None:
    """(R12)"""
    assert checked(password) == password


@pytest.mark.parametrize("password", ["", "123", "12345", "пять", "123é", "１２３４"])
def test_any_other_password_is_refused_and_not_repeated(password: str) -> None:
    """(R12)"""
    with pytest.raises(BadPassword) as caught:
        checked(password)

    assert not password or password not in str(caught.value)


def test_a_profile_is_recorded_as_a_whole_and_once() -> None:
    """(SCL-1)"""
    KNOWN.when(describe()).then(described())
    known = KNOWN.given(described())
    known.when(describe()).then_nothing()
    known.when(describe(serial_number="7")).then(described(serial_number="7"))


def test_a_model_that_is_not_in_the_table_is_refused() -> None:
    """(SCL-8)"""
    KNOWN.when(describe(model="M-ER 1")).then_refused(ModelUnknown)


def test_a_change_of_address_keeps_what_the_scale_is() -> None:
    before = DEVICE.state_after([REGISTERED, described(), relaxed("hash"), due(30)])
    [changed] = DEVICE.decide(before, change(ip="10.0.0.6"))

    assert replace(DEVICE.evolve(before, changed), details=DETAILS) == before


def test_rules_are_relaxed_one_by_one_with_a_reason() -> None:
    """(R5, R24)"""
    KNOWN.when(relax("hash")).then(relaxed("hash"))
    KNOWN.when(relax("unique_plus", "hash", "hash")).then(relaxed("hash", "unique_plus"))
    again = KNOWN.given(relaxed("hash"))
    again.when(relax("hash")).then_nothing()
    again.when(relax(reason="mended")).then(relaxed(reason="mended"))


def test_a_rule_is_known_and_a_reason_is_given() -> None:
    """(R5)"""
    KNOWN.when(relax("all")).then_refused(RuleUnknown)
    KNOWN.when(relax("hash", reason=" ")).then_refused(ReasonMissing)


@pytest.mark.parametrize("rule", RULES)
def test_relaxing_a_rule_relaxes_no_other(rule: str) -> None:
    """(R5)"""
    device = DEVICE.state_after([REGISTERED, relaxed("hash"), relaxed(rule)])
    strict = DEVICE.state_after([REGISTERED, relaxed(rule), relaxed()])

    assert device.relaxation.strictness == Strictness(**{rule: False})
    assert strict.relaxation.strictness == STRICT


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

    scenario = KNOWN.given(described()).when(remind(left))
    scenario.then_nothing() if days is None else scenario.then(due(days))


def test_each_reminder_comes_once_and_late_ones_are_left_out() -> None:
    """(SCL-14)"""
    history: list[ScaleBridgeEvent] = [REGISTERED, described()]
    reminded = []
    for left in range(40, -5, -1):
        events = DEVICE.decide(DEVICE.state_after(history), remind(left))
        reminded += [(left, event.days) for event in events if isinstance(event, VerificationDue)]
        history += events
    assert reminded == [(30, 30), (7, 7), (0, 0)]

    KNOWN.given(described(), due(30)).when(remind(-9)).then(due(0))
    KNOWN.given(described(), due(0)).when(remind(9)).then_nothing()


def test_with_another_date_the_reminders_count_anew() -> None:
    """(SCL-14)"""
    later = DUE + timedelta(days=365)
    moved = KNOWN.given(described(), due(30), due(7), due(0), described(next_verification=later))

    moved.when(remind(0)).then_nothing()
    moved.when(remind(30 - 365, later)).then(due(30, later))
    ids = {reminder_id(ID, day, days) for day in (DUE, later) for days in (30, 7, 0)}
    assert len(ids) == 6


def test_without_a_date_there_is_no_reminder() -> None:
    KNOWN.given(described(next_verification=None)).when(remind(0)).then_nothing()
