"""One word for how far a price is: verified only by what was read back (SCL-16)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.scale_bridge.domain.delivery import Doing, Facts, State, told

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


def facts(**different: Any) -> Facts:
    known: dict[str, Any] = {"sold": True, "taken_at": NOW}
    return Facts(**known | different)


def doing(stage: str = "ended", outcome: str | None = "verified", code: str = "") -> Doing:
    ended_at = NOW if stage == "ended" else None
    return Doing(stage=stage, outcome=outcome, code=code, detail=code, ended_at=ended_at)


@pytest.mark.parametrize(
    ("known", "state"),
    [
        (facts(taken_at=None), State.WAITING),
        (facts(moved=True, overridden_at=NOW), State.WAITING),
        (facts(), State.TAKEN),
        (facts(doing=doing("sending", None)), State.SENDING),
        (facts(doing=doing("applied", None)), State.APPLIED),
        (facts(doing=doing(outcome="done")), State.APPLIED),
        (facts(doing=doing(outcome="verified")), State.APPLIED),
        (facts(doing=doing(outcome="verified"), verified_at=NOW), State.VERIFIED),
        (facts(doing=doing(outcome="failed", code="Timeout"), verified_at=NOW), State.VERIFIED),
        (facts(verified_at=NOW, seen_otherwise=True), State.FAILED),
        (facts(doing=doing(outcome="failed", code="NotShown")), State.FAILED),
        (facts(doing=doing(outcome="unknown", code="UnknownOutcome")), State.FAILED),
        (facts(overridden_at=NOW, verified_at=NOW), State.OVERRIDDEN),
        (facts(sold=False), State.GONE),
    ],
)
def test_the_word(known: Facts, state: State) -> None:
    assert told(known).state is state


def test_a_failure_has_a_code_and_a_reason() -> None:
    word = told(facts(doing=doing(outcome="failed", code="NotShown")))
    assert (word.code, word.detail, word.failed_at) == ("NotShown", "NotShown", NOW)
    drifted = told(facts(verified_at=NOW, seen_otherwise=True))
    assert drifted.code == "NotShown"
    assert drifted.detail
