"""Answers that are not true are noticed."""

from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.demo.device import Answer
from deploy.demo.ledger import Ledger

NOW = datetime(2026, 3, 4, tzinfo=UTC)
A, B = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"


def batch(*keys: str, code: str = "1") -> dict[str, dict[str, Any]]:
    return {
        key: {"uuid": key, "ts": 1_770_000_000_000, "type": "ITEM", "operator": "o", "code": code}
        for key in keys
    }


def answer(inserted: int, *duplicates: str, errors: int = 0) -> Answer:
    body = {
        "ok": True,
        "inserted": inserted,
        "skipped": len(duplicates),
        "duplicates": list(duplicates),
        "errors": ["why"] * errors,
    }
    return Answer(status=200, body=body)


def ledger_after(*answers: tuple[dict[str, dict[str, Any]], Answer]) -> Ledger:
    ledger = Ledger(planned=2)
    for sent, answered in answers:
        ledger.sending(sent, now=NOW)
        ledger.answered(sent, answered, now=NOW)
    return ledger


def test_true_answers_leave_nothing_to_say() -> None:
    ledger = ledger_after((batch(A, B), answer(2)), (batch(A, B), answer(0, A, B)))

    assert (ledger.wrong, ledger.often_new(), ledger.never_new()) == ([], 0, 0)
    figures = ledger.figures()
    assert (figures.sent, figures.acknowledged, figures.known) == (4, 2, 2)


@pytest.mark.parametrize(
    "said", [answer(1), answer(2, A), answer(1, "somebody"), answer(2, errors=1)]
)
def test_counts_that_do_not_add_up_are_wrong(said: Answer) -> None:
    assert len(ledger_after((batch(A, B), said)).wrong) == 1


def test_what_is_unfit_must_be_among_the_errors() -> None:
    assert ledger_after((batch(A, code="\0"), answer(0, errors=1))).wrong == []
    assert len(ledger_after((batch(A, code="\0"), answer(1))).wrong) == 1


def test_an_event_is_new_once() -> None:
    assert ledger_after((batch(A), answer(1)), (batch(A), answer(1))).often_new() == 1


def test_an_event_is_new_at_least_once_unless_an_answer_was_lost() -> None:
    assert ledger_after((batch(A), answer(0, A))).never_new() == 1
    lost = ledger_after((batch(A), Answer()), (batch(A), answer(0, A)))
    assert lost.never_new() == 0
    assert len(lost.told()) == 1
