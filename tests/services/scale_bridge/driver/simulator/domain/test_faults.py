"""Faults of a simulated scale: their notation, and how often they occur (§6)."""

from typing import Any

import pytest

from services.scale_bridge.driver.domain.wire import Step
from services.scale_bridge.driver.simulator.domain.faults import (
    KINDS,
    BadFault,
    Faults,
    parse_fault,
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *(("poll:inf", {"number": None}), ("poll:3", {"number": 3})),
        ("mute:FF13/09:2", {"steps": {Step.CHECK}, "times": 2}),
        ("late:15:0.5", {"steps": {Step.CREATED}, "seconds": 0.5, "times": None}),
        ("rc:14:CB", {"number": 0xCB}),
        ("check2msg:цена: нет", {"text": "цена: нет"}),
        *(("badhash*4", {"times": 4}), ("lostack", {"times": 1})),
    ],
)
def test_faults_are_parsed_as_the_specification_writes_them(
    given: str, expected: dict[str, Any]
) -> None:
    assert {name: getattr(parse_fault(given), name) for name in expected} == expected


@pytest.mark.parametrize(
    "given",
    [
        *("", "nothing", "pw:1", "poll", "poll:many", "fin", "fin:99", "mute:14:0", "mute:14:x"),
        *("drip:x", "drip:-1", "drip:nan", "rc:14:QQ", "rc:14", "pw*0"),
    ],
)
def test_an_unknown_fault_is_refused(given: str) -> None:
    with pytest.raises(BadFault):
        parse_fault(given)


def test_a_fault_with_a_number_of_times_disappears_after_so_many() -> None:
    faults = Faults(["mute:14:2", "pw"])

    assert faults.trigger("mute", Step.CHECK) is None
    assert [faults.trigger("mute", Step.CREATE) is not None for _ in range(3)] == [
        True,
        True,
        False,
    ]
    assert faults.trigger("pw") is not None
    assert faults.find("pw") is not None


def test_every_fault_has_a_notation() -> None:
    forms = {kind.form(name) for name, kind in KINDS.items()}

    assert {"pw", "mute:step[:times]", "late:step:seconds", "poll:number"} <= forms
