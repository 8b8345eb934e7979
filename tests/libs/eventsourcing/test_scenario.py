"""The words tests of aggregates are written in."""

import pytest

from libs.eventsourcing.testing import Scenario
from tests.libs.eventsourcing.shop import (
    TILL,
    Close,
    Closed,
    Command,
    Event,
    Open,
    Opened,
    Ring,
    Rung,
    State,
    TillClosed,
)

SCENARIO: Scenario[State, Command, Event] = Scenario(TILL)


def test_given_some_history_a_command_decides_events() -> None:
    SCENARIO.given(Opened(), Rung(5)).given(Rung(7)).when(Close()).then(Rung(0), Closed(12))


def test_what_is_already_so_decides_nothing() -> None:
    SCENARIO.given(Opened()).when(Open()).then_nothing()


def test_what_is_not_allowed_is_refused_for_a_reason() -> None:
    SCENARIO.when(Ring(1)).then_refused(TillClosed)


def test_a_scenario_that_is_wrong_fails() -> None:
    opened = SCENARIO.given(Opened())

    with pytest.raises(AssertionError):
        opened.when(Ring(1)).then(Rung(2))
    with pytest.raises(AssertionError):
        opened.when(Ring(1)).then_nothing()
    with pytest.raises(BaseException, match="DID NOT RAISE"):
        opened.when(Ring(1)).then_refused(TillClosed)


def test_histories_do_not_share_what_is_given_to_one_of_them() -> None:
    SCENARIO.given(Opened())

    SCENARIO.when(Open()).then(Opened())


def test_a_stream_is_named_after_category_and_id() -> None:
    assert TILL.stream(7) == "till-7"
