"""The oracle, on the golden scenario of the wire contract and at the edges of its rules.

And the ledger: answers that are not true are noticed.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from deploy.demo import truth
from deploy.demo.device import Answer
from deploy.demo.ledger import Ledger
from deploy.demo.truth import ZONE, Acknowledged, ScanFilter

DAY = date(2025, 10, 31)
WHOLE = ScanFilter(first=DAY, last=DAY)
RECEIVED = datetime(2025, 10, 31, 9, 0, tzinfo=UTC)

GOLDEN = [
    ("08:00:00", "CITY", "", "Novosem"),
    ("08:01:00", "BOX", "ivancov/8", "ivancov/8"),
    ("08:02:05", "ITEM", "ivancov/8", "2042469234860"),
    ("08:03:05", "ITEM", "ivancov/8", "2042469234860"),
    ("08:10:00", "CLOSE", "ivancov/8", "ivancov/8"),
    ("08:11:00", "BOX", "ivancov/10", "ivancov/10"),
    ("08:12:05", "ITEM", "ivancov/10", "777"),
    ("09:12:00", "AUTO_CLOSE", "ivancov/10", "ivancov/10"),
    ("09:13:00", "ERROR", "", "NO_BOX"),
    ("09:14:00", "ERROR", "", "CYRILLIC_ERROR"),
    ("09:15:00", "CITY_CLOSE", "", "Novosem"),
]


def an_event(**changes: object) -> dict[str, Any]:
    event = {
        "uuid": "00000000-0000-4000-8000-000000000000",
        "ts": int(RECEIVED.timestamp() * 1000),
        "type": "ITEM",
        "operator": "testscanner",
        "client": "ivancov",
        "city": "Novosem",
        "box": "ivancov/8",
        "code": "777",
        "details": "",
        "source": "pwa",
    }
    return event | changes


def acknowledged(event: dict[str, Any], *, after: float = 0.0, took: float = 0.1) -> Acknowledged:
    sent_at = RECEIVED + timedelta(seconds=after)
    return Acknowledged(event=event, sent_at=sent_at, acked_at=sent_at + timedelta(seconds=took))


def golden() -> list[Acknowledged]:
    return [
        acknowledged(
            an_event(
                uuid=f"00000000-0000-4000-8000-{n:012}",
                ts=int(datetime.fromisoformat(f"{DAY}T{at}").replace(tzinfo=ZONE).timestamp())
                * 1000,
                type=kind,
                client=box.partition("/")[0],
                box=box,
                code=code,
            ),
            after=n,
        )
        for n, (at, kind, box, code) in enumerate(GOLDEN)
    ]


def test_the_golden_scenario_gives_its_numbers_also_when_sent_twice() -> None:
    state = truth.state(truth.rows(golden() * 2), WHOLE)

    assert state.summary == {"items": 3, "opens": 2, "closes": 1, "errors": 2}
    assert state.clients == {"ivancov": (3, 2, 1, 0), "—": (0, 0, 0, 2)}
    assert state.operators == {"testscanner": (3, 2)}
    assert state.operators_list == ("testscanner",)
    assert state.clients_list == ("ivancov",)
    assert state.cities_list == ("Novosem",)
    assert truth.last_seen(golden()) == {"testscanner": ("—", "Novosem", "—")}
    assert truth.kinds(truth.rows(golden()), WHOLE)["ERROR"] == 2


def test_a_filter_leaves_out_what_does_not_match() -> None:
    only = ScanFilter(first=DAY, last=DAY, client="ivancov")

    assert truth.state(truth.rows(golden()), only).summary["errors"] == 0
    assert not truth.matching(truth.rows(golden()), ScanFilter(first=DAY, last=DAY, city="Tula"))


def test_a_day_begins_at_midnight_in_moscow() -> None:
    midnight = datetime(2025, 10, 31, 21, 0, tzinfo=UTC)
    before, after = (
        truth.rows(
            [acknowledged(an_event(ts=int(midnight.timestamp() * 1000) + ms), after=86_400)]
        )[0]
        for ms in (-1, 0)
    )

    assert before.days == {DAY}
    assert after.days == {DAY + timedelta(days=1)}


def test_a_clock_that_is_ahead_by_more_than_a_minute_counts_as_the_arrival() -> None:
    tomorrow = int((RECEIVED + timedelta(days=1)).timestamp() * 1000)

    assert truth.rows([acknowledged(an_event(ts=tomorrow))])[0].days == {DAY}


def test_a_day_that_only_the_server_can_know_is_reported_as_unclear() -> None:
    before_midnight = (datetime(2025, 10, 31, 20, 59, 59, tzinfo=UTC) - RECEIVED).total_seconds()
    ahead = an_event(ts=int((RECEIVED + timedelta(days=2)).timestamp() * 1000))

    row = truth.rows([acknowledged(ahead, after=before_midnight, took=2)])[0]

    assert row.days == {DAY, DAY + timedelta(days=1)}


def test_concurrent_requests_have_no_last_event() -> None:
    ids = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")

    together = [acknowledged(an_event(uuid=uuid), took=5) for uuid in ids]

    assert truth.last_seen(together) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"uuid": "nonsense"},
        {"ts": 1_761_900_000},
        {"code": "a\0b"},
        {"details": "\ud83c"},
        {"code": "9" * 501},
        {"operator": "o" * 101},
        {"type": "t" * 51},
    ],
)
def test_events_that_break_a_rule_are_quarantined(changes: dict[str, object]) -> None:
    event = an_event(**changes)

    assert not truth.is_fit(event)
    assert truth.rows([acknowledged(event)]) == []


def test_events_that_are_only_unusual_are_stored() -> None:
    for changes in (
        {"uuid": "ABCDEF00-0000-7000-8000-000000000000"},
        {"code": "9" * 500},
        {"type": "WEIGHED"},
        {"operator": ""},
        {"code": "🍎"},
    ):
        assert truth.is_fit(an_event(**changes)), changes


A, B = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"


def batch(*keys: str, code: str = "1") -> dict[str, dict[str, Any]]:
    return {key: an_event(uuid=key, code=code) for key in keys}


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
    ledger = Ledger(planned_events=2)
    for sent, record_answer in answers:
        ledger.record_sent(sent, now=RECEIVED)
        ledger.record_answer(sent, record_answer, now=RECEIVED)
    return ledger


def test_correct_responses_leave_no_complaints() -> None:
    ledger = ledger_after((batch(A, B), answer(2)), (batch(A, B), answer(0, A, B)))

    assert (ledger.wrong, ledger.often_new(), ledger.never_new()) == ([], 0, 0)
    figures = ledger.figures()
    assert (figures.sent, figures.acknowledged, figures.known) == (4, 2, 2)


@pytest.mark.parametrize(
    "response", [answer(1), answer(2, A), answer(1, "somebody"), answer(2, errors=1)]
)
def test_counts_that_do_not_add_up_are_wrong(response: Answer) -> None:
    assert len(ledger_after((batch(A, B), response)).wrong) == 1


def test_invalid_events_must_be_among_the_errors() -> None:
    assert ledger_after((batch(A, code="\0"), answer(0, errors=1))).wrong == []
    assert len(ledger_after((batch(A, code="\0"), answer(1))).wrong) == 1


def test_an_event_is_new_once() -> None:
    assert ledger_after((batch(A), answer(1)), (batch(A), answer(1))).often_new() == 1


def test_an_event_is_new_at_least_once_unless_an_answer_was_lost() -> None:
    assert ledger_after((batch(A), answer(0, A))).never_new() == 1
    lost = ledger_after((batch(A), Answer()), (batch(A), answer(0, A)))
    assert lost.never_new() == 0
    assert len(lost.acknowledged()) == 1
