"""The board's word for a scale, and the reason (SCL-12, SCL-15)."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.scale_bridge.domain.standing import (
    NOT_TRIED,
    UNREACHABLE,
    Ended,
    Facts,
    State,
    standing,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WELL = Facts(valid=True, revision=4, confirmed=4, heard_at=NOON)


def failed(code: str, detail: str = "") -> Ended:
    return Ended(outcome="failed", code=code, detail=detail, at=NOON)


@pytest.mark.parametrize(
    ("different", "state", "said"),
    [
        ({}, State.OK, "подтвердили всё"),
        ({"revision": 5}, State.DIRTY, "неотправленные"),
        ({"confirmed": None, "pending": 3}, State.DIRTY, "Отличается товаров: 3."),
        ({"confirmed": None, "caught": True, "pending": 2}, State.LYING, "показывают другие"),
        ({"last": failed("WrongPassword")}, State.WRONG_PASSWORD, "пароль"),
        ({"last": failed("Timeout", "Тишина.")}, State.UNREACHABLE, "Тишина."),
        ({"caught": True, "last": failed("Unreachable")}, State.UNREACHABLE, "Нет соединения"),
        ({"revision": 5, "last": failed("ImportFailed", "Беда.")}, State.DIRTY, "Беда."),
        ({"heard_at": None}, State.UNKNOWN, "ещё не было"),
        ({"valid": False}, State.UNKNOWN, "адресу"),
    ],
)
def test_a_scale_has_one_word_and_a_reason(
    different: dict[str, Any], state: State, said: str
) -> None:
    found = standing(replace(WELL, **different))

    assert found.state is state
    assert said in found.reason


def test_what_never_came_to_the_scale_says_nothing_of_it() -> None:
    assert not NOT_TRIED & UNREACHABLE


def test_the_worst_comes_first() -> None:
    words = list(State)
    assert (words[0], words[-1]) == (State.LYING, State.OK)
