"""A device is registered once, changed and removed; its profile, relaxed rules (R5, R9, R12) and
reminders of the verification (SCL-14)."""

from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from contracts.scale_bridge import (
    DeviceChanged,
    DeviceDetails,
    DeviceProfile,
    DeviceProfiled,
    DeviceRegistered,
    DeviceRemoved,
    StrictnessSet,
    VerificationDue,
)
from libs.testing.decisions import decision_table, row
from services.scale_bridge.devices.domain.device import (
    DEVICE,
    Change,
    DeviceKnown,
    DeviceUnknown,
    ModelUnknown,
    Register,
    Remove,
    SetProfile,
    device_id_of,
    moves,
)
from services.scale_bridge.devices.domain.validation_overrides import (
    RULES,
    ReasonMissing,
    RuleUnknown,
    SetStrictness,
)
from services.scale_bridge.devices.domain.verification import (
    Remind,
    days_left,
    nearest,
    reminder_id,
)
from services.scale_bridge.driver.domain.document import STRICT, Strictness
from services.scale_bridge.driver.domain.password import BadPassword, checked
from tests.services.scale_bridge.usual import Usual

ID = device_id_of(7)
DUE = date(2026, 12, 1)
DETAILS = DeviceDetails(
    name="cheese", description="", ip="10.0.0.5", port=1111, protocol="TCP", password="sealed"
)
PROFILE = DeviceProfile(shop="A", group="cheese", model="M-ER 725", next_verification=DUE)
NOW = datetime(2026, 11, 1, 9, tzinfo=UTC)
made = Usual(NOW, device_id=ID, number=7, owner=UUID(int=1), reason="old firmware")

REGISTER = made(Register, details=DETAILS)
REGISTERED, REMOVED = made(DeviceRegistered, details=DETAILS), made(DeviceRemoved)
REMOVE = made(Remove)


def change(**different: Any) -> Change:
    return made(Change, details=replace(DETAILS, **different))


def describe(**different: Any) -> SetProfile:
    return made(SetProfile, fields=asdict(PROFILE) | different)


def described(**different: Any) -> DeviceProfiled:
    return made(DeviceProfiled, profile=replace(PROFILE, **different))


def relax(*rules: str, **different: Any) -> SetStrictness:
    return made(SetStrictness, relaxed=rules, **different)


def relaxed(*rules: str, **different: Any) -> StrictnessSet:
    return made(StrictnessSet, relaxed=rules, **different)


def remind(left: int, due_on: date = DUE) -> Remind:
    """The command on the day `left` days before the verification."""
    return made(Remind, due_on=due_on, today=DUE - timedelta(days=left))


def due(days: int, due_on: date = DUE) -> VerificationDue:
    return made(VerificationDue, due_on=due_on, days=days)


CHANGED = made(DeviceChanged, details=replace(DETAILS, name="meat", port=1112))
KNOWN, GONE = [REGISTERED], [REGISTERED, REMOVED]
DESCRIBED, RELAXED = [REGISTERED, described()], [REGISTERED, relaxed("hash")]
RELAXED_TWO = relaxed("hash", "unique_plus")
NUMBERED = {"serial_number": "7"}
LATER = DUE + timedelta(days=365)
MOVED = [*DESCRIBED, due(30), due(7), due(0), described(next_verification=LATER)]
OF_KNOWN = {"change": change(), "describe": describe(), "relax": relax("hash"), "remind": remind(0)}

test_what_is_decided = decision_table(
    DEVICE,
    row("a device is registered", [], REGISTER, REGISTERED),
    row("registered twice", KNOWN, REGISTER, DeviceKnown),
    row("a change says all of what is then", KNOWN, change(name="meat", port=1112), CHANGED),
    row("the same is no change", KNOWN, change()),
    row("removed", KNOWN, REMOVE, REMOVED),
    row("removed twice", GONE, REMOVE),
    row("remove what is unknown", [], REMOVE, DeviceUnknown),
    *(row(f"{name} what is unknown", [], OF_KNOWN[name], DeviceUnknown) for name in OF_KNOWN),
    *(row(f"{name} what is gone", GONE, OF_KNOWN[name], DeviceUnknown) for name in OF_KNOWN),
    # What it is (SCL-1, SCL-8).
    row("a profile", KNOWN, describe(), described()),
    row("the same profile", DESCRIBED, describe()),
    row("a profile as a whole", DESCRIBED, describe(**NUMBERED), described(**NUMBERED)),
    row("a model that is not in the table", KNOWN, describe(model="M-ER 1"), ModelUnknown),
    # Rules are relaxed one by one (R5, R24).
    row("a rule is relaxed", KNOWN, relax("hash"), relaxed("hash")),
    row("rules in order", KNOWN, relax("unique_plus", "hash", "hash"), RELAXED_TWO),
    row("relaxed already", RELAXED, relax("hash")),
    row("no more", RELAXED, relax(reason="mended"), relaxed(reason="mended")),
    row("an unknown rule", KNOWN, relax("all"), RuleUnknown),
    row("a reason is given", KNOWN, relax("hash", reason=" "), ReasonMissing),
    # Reminders of verification (SCL-14).
    row("reminders that were slept through", [*DESCRIBED, due(30)], remind(-9), due(0)),
    row("a clock that was set back", [*DESCRIBED, due(0)], remind(9)),
    row("with another date the old one is silent", MOVED, remind(0)),
    row("and the new one counts", MOVED, remind(30 - 365, LATER), due(30, LATER)),
    row("without a date", [REGISTERED, described(next_verification=None)], remind(0)),
)


def test_only_a_change_of_the_address_moves_a_device() -> None:
    assert moves(DETAILS, replace(DETAILS, ip="10.0.0.6"))
    assert moves(DETAILS, replace(DETAILS, port=1112))
    assert not moves(DETAILS, replace(DETAILS, name="meat", password="other", description="x"))


@pytest.mark.parametrize("password", ["1234", "a b~"])
def test_four_ascii_characters_are_a_password(password: str) -> None:
    assert checked(password) == password


@pytest.mark.parametrize("password", ["", "123", "12345", "пять", "123é", "１２３４"])
def test_any_other_password_is_refused_and_not_repeated(password: str) -> None:
    with pytest.raises(BadPassword) as caught:
        checked(password)

    assert not password or password not in str(caught.value)


def test_a_change_of_the_address_keeps_the_profile() -> None:
    before = DEVICE.state_after([REGISTERED, described(), relaxed("hash"), due(30)])
    [changed] = DEVICE.decide(before, change(ip="10.0.0.6"))

    assert replace(DEVICE.evolve(before, changed), details=DETAILS) == before


@pytest.mark.parametrize("rule", RULES)
def test_relaxing_a_rule_relaxes_no_other(rule: str) -> None:
    device = DEVICE.state_after([REGISTERED, relaxed("hash"), relaxed(rule)])
    assert device.overrides.strictness == Strictness(**{rule: False})

    for strictly in (relaxed(), relaxed("colour, which an older program knew")):
        device = DEVICE.state_after([REGISTERED, relaxed(rule), strictly])
        assert device.overrides.strictness == STRICT


@pytest.mark.parametrize(
    ("left", "days"), [(31, None), (30, 30), (8, 30), (7, 7), (1, 7), (0, 0), (-400, 0)]
)
def test_the_reminder_of_today_is_the_nearest(left: int, days: int | None) -> None:
    today = DUE - timedelta(days=left)
    assert nearest(DUE, today) == days
    assert (days_left(DUE, today), days_left(None, today)) == (left, None)

    events = DEVICE.decide(DEVICE.state_after([REGISTERED, described()]), remind(left))
    assert events == ([] if days is None else [due(days)])


def test_each_reminder_of_each_date_has_an_id_of_its_own() -> None:
    ids = {reminder_id(ID, day, days) for day in (DUE, LATER) for days in (30, 7, 0)}
    assert len(ids) == 6
