"""Who is looked after, when, and how often (SCL-9, SCL-15, R6)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.scale_bridge.domain.healing import HOPELESS, Health, Last, Rules, is_owed, remedy
from services.scale_bridge.domain.operation_commands import Kind

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = Rules()
LATER = NOON + timedelta(minutes=5)


def last(kind: str, outcome: str = "verified", code: str = "", at: datetime = NOON) -> Last:
    return Last(kind=kind, outcome=outcome, code=code, at=at)


def health(*, tried: Last, transfer: Last | None = None, **told: object) -> Health:
    known = Health(device_id=UUID(int=0), valid=True, read_at=NOON, ended_at=tried.at)
    return replace(known, tried=tried, transfer=transfer, **told)  # type: ignore[arg-type]


WELL = health(tried=last("upload"), transfer=last("upload"))
MISSED = last("upload", "failed", "Unreachable")


def test_who_is_well_is_left_alone() -> None:
    assert remedy(WELL, LATER, RULES) is None


def test_who_is_well_is_looked_at_now_and_then() -> None:
    assert remedy(WELL, NOON + timedelta(hours=2), RULES) is Kind.VERIFY
    assert remedy(WELL, NOON + timedelta(hours=2), Rules(idle=None)) is None


def test_what_a_person_has_not_sent_yet_is_theirs() -> None:
    assert remedy(replace(WELL, dirty=True), LATER, RULES) is None


def test_a_price_that_was_never_confirmed_is_sent() -> None:
    assert remedy(replace(WELL, dirty=True, unsent=True), LATER, RULES) is Kind.UPLOAD


def test_who_did_not_answer_is_asked_whether_they_are_back() -> None:
    silent = health(tried=MISSED, transfer=MISSED, dirty=True, failures=1, silent_at=NOON)
    assert remedy(silent, LATER, RULES) is Kind.PROBE


def test_who_is_back_gets_what_they_missed() -> None:
    """SCL-9: straight to what they shall show now."""
    back = health(
        tried=last("probe", "done"), transfer=MISSED, dirty=True, failures=1, silent_at=NOON
    )
    assert remedy(back, LATER, RULES) is Kind.UPLOAD


def test_who_is_back_and_missed_nothing_is_read() -> None:
    """Without power it may have forgotten what it had confirmed."""
    back = health(
        tried=last("probe", "done", at=LATER), silent_at=NOON + timedelta(minutes=1), failures=1
    )
    assert remedy(back, LATER + timedelta(minutes=1), RULES) is Kind.VERIFY


def test_who_was_seen_to_show_something_else_is_corrected() -> None:
    """SCL-15: a verify found it."""
    drifted = last("verify", "failed", "NotShown")
    found = health(tried=drifted, transfer=drifted, dirty=True, failures=1)
    assert remedy(found, LATER, RULES) is Kind.UPLOAD


@pytest.mark.parametrize("code", sorted(HOPELESS))
def test_what_would_fail_again_is_not_done_again(code: str) -> None:
    hopeless = last("upload", "failed", code)
    assert not is_owed(health(tried=hopeless, transfer=hopeless, dirty=True, failures=1))
    found = health(tried=hopeless, transfer=hopeless, dirty=True, failures=1)
    assert remedy(found, NOON + timedelta(days=1), RULES) is None


def test_the_more_often_it_failed_the_longer_it_is_left_alone() -> None:
    liar = last("upload", "failed", "NotShown")
    waits = []
    for failures in range(1, 12):
        found = health(tried=liar, transfer=liar, dirty=True, failures=failures)
        seconds = next(
            seconds
            for seconds in range(100_000)
            if remedy(found, NOON + timedelta(seconds=seconds), RULES)
        )
        waits.append(seconds)
    assert waits[:4] == [15, 30, 60, 120]
    assert waits[-1] == RULES.longest.total_seconds()


def test_scales_that_failed_together_are_not_asked_together() -> None:
    silent = health(tried=MISSED, transfer=MISSED, dirty=True, failures=4)
    now = NOON + RULES.first * 8 * 1.1
    asked = [remedy(replace(silent, device_id=UUID(int=n)), now, RULES) for n in range(0, 1009, 9)]
    assert {*asked} == {None, Kind.PROBE}


def test_what_never_came_to_the_scale_is_not_repeated_at_once() -> None:
    """Somebody else speaks to it."""
    busy = health(tried=last("probe", "done"), transfer=MISSED, dirty=True, ended_at=LATER)
    assert remedy(busy, LATER + timedelta(seconds=1), RULES) is None
    assert remedy(busy, LATER + RULES.first, RULES) is Kind.UPLOAD


def test_a_scale_nobody_ever_read_is_not_touched() -> None:
    assert remedy(Health(device_id=UUID(int=1)), LATER, RULES) is None
