"""Decisions about quarantined events, and their faults."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ingest import (
    IngestEvent,
    QuarantineDropped,
    QuarantineMended,
    ScanId,
    ScanQuarantined,
    ScanRecorded,
)
from libs.eventsourcing.testing import Scenario
from services.ingest.quarantine.domain import (
    QUARANTINE,
    AlreadyDecided,
    Drop,
    Mend,
    QuarantineCommand,
    Quarantined,
    ReasonNeeded,
    patched,
    revalidate,
    wrong_fields,
)
from services.ingest.scans.domain.scan import Fault
from tests.services.ingest.history import FLOOR, NOON, event, uuid

ID, SCAN = UUID(int=7), ScanId(UUID(uuid(1)))
LATER = datetime(2025, 11, 3, 8, tzinfo=UTC)
MEND = Mend(quarantine_id=ID, scan_id=SCAN, by="office", now=LATER)
DROP = Drop(quarantine_id=ID, reason="a test of the scanner", by="office", now=LATER)
MENDED = QuarantineMended(quarantine_id=ID, scan_id=SCAN, mended_by="office", mended_at=LATER)
DROPPED = QuarantineDropped(
    quarantine_id=ID, reason="a test of the scanner", dropped_by="office", dropped_at=LATER
)


def quarantined() -> Scenario[Quarantined, QuarantineCommand, IngestEvent]:
    return Scenario(QUARANTINE)


def an_event(scan_id: ScanId | None = SCAN) -> ScanQuarantined:
    return ScanQuarantined(scan_id=scan_id, raw="{}", code="bad_text", reason="", received_at=NOON)


def test_an_open_event_can_be_mended_or_dropped_for_a_reason_on_one_line() -> None:
    two_lines = Drop(quarantine_id=ID, reason="  a test\n of the scanner ", by="office", now=LATER)

    quarantined().when(MEND).then(MENDED)
    quarantined().when(DROP).then(DROPPED)
    quarantined().when(two_lines).then(DROPPED)


@pytest.mark.parametrize("first", [MENDED, DROPPED], ids=["mended", "dropped"])
@pytest.mark.parametrize("second", [MEND, DROP], ids=["mend", "drop"])
def test_the_first_decision_is_final_even_for_an_equal_second_one(
    first: IngestEvent, second: QuarantineCommand
) -> None:
    quarantined().given(first).when(second).then_refused(AlreadyDecided)


def test_a_second_decision_is_refused_with_the_first_one() -> None:
    state = QUARANTINE.state_after([DROPPED, MENDED])

    with pytest.raises(AlreadyDecided) as refused:
        QUARANTINE.decide(state, MEND)

    assert refused.value.decision == DROPPED


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 501, "half \ud800", "a \0 b", "\x1b[2J"])
def test_an_empty_or_unprintable_reason_is_refused(reason: str) -> None:
    command = Drop(quarantine_id=ID, reason=reason, by="office", now=LATER)

    quarantined().when(command).then_refused(ReasonNeeded)


def test_the_id_of_the_device_stays_and_an_event_without_one_may_get_one() -> None:
    without = revalidate(an_event(), event(uuid=...), not_before=FLOOR)
    other = revalidate(an_event(), event(uuid=uuid(2)), not_before=FLOOR)
    nameless = revalidate(an_event(None), event(), not_before=FLOOR)

    assert isinstance(without, ScanRecorded)
    assert isinstance(nameless, ScanRecorded)
    assert without.scan_id == nameless.scan_id == SCAN
    assert isinstance(other, Fault)
    assert other.code == "uuid_changed"


def test_exactly_the_faulty_fields_are_named() -> None:
    value = event(ts=1_420_070_399_999, code=7, box="x" * 101, operator=..., details="ok")

    wrong = wrong_fields(an_event(), value, not_before=FLOOR)

    assert {name: fault.code for name, fault in wrong.items()} == {
        "ts": "implausible_ts",
        "operator": "missing_field",
        "box": "too_long",
        "code": "bad_text",
    }
    other_spelling = event(ts=..., timestamp="noon")
    assert set(wrong_fields(an_event(), other_spelling, not_before=FLOOR)) == {"ts"}
    no_objects: list[object] = [7, None, [], "text"]
    for other in no_objects:
        assert wrong_fields(an_event(), other, not_before=FLOOR) == {}


FIELDS = st.sampled_from(list(event()))
JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=120) | st.lists(st.none())


@given(st.dictionaries(FIELDS, JSON))
def test_fields_are_faulty_exactly_when_the_event_is(changes: dict[str, Any]) -> None:
    value = event() | changes

    result = revalidate(an_event(), value, not_before=FLOOR)

    assert bool(wrong_fields(an_event(), value, not_before=FLOOR)) == isinstance(result, Fault)


@pytest.mark.parametrize(
    ("value", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_follows_its_standard(value: object, patch: object, expected: object) -> None:
    assert patched(value, patch) == expected
