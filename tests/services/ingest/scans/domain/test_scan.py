"""The rules for one event of a batch: id, time, texts."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from contracts.ingest import ScanRecorded
from services.ingest.scans.domain.scan import (
    Fault,
    Reading,
    parse_event,
    parse_uuid,
    same_content,
    validate,
)
from tests.services.ingest.history import FLOOR, NOON, NOON_MS, a_scan, event, uuid

LATER = NOON + timedelta(hours=1)
FLOOR_MS = 1_420_070_400_000
V4 = "c6414b06-5a3c-4c0e-9e0f-2b1d3f4a5b6c"
ABSENT = [None, ...]
LONGEST = {
    "type": 50,
    "operator": 100,
    "client": 100,
    "city": 100,
    "box": 100,
    "code": 500,
    "source": 50,
    "details": 65_536,
}
EVERY_TEXT = pytest.mark.parametrize("name", LONGEST)


def outcome(value: object) -> ScanRecorded | Fault:
    reading = parse_event(value)
    if isinstance(reading, Fault):
        return reading
    return validate(reading, received_at=NOON, not_before=FLOOR)


def accepted(**changes: Any) -> ScanRecorded:
    result = outcome(event(**changes))
    assert isinstance(result, ScanRecorded), result
    return result


def refused(**changes: Any) -> str:
    """The code of the fault, which names the id if that could be read."""
    result = outcome(event(**changes))
    assert isinstance(result, Fault), result
    if "uuid" not in changes:
        assert result.scan_id == UUID(uuid(1))
    return result.code


def again(value: dict[str, Any]) -> ScanRecorded:
    """The same, received an hour later."""
    reading = parse_event(value)
    assert isinstance(reading, Reading)
    scan = validate(reading, received_at=LATER, not_before=FLOOR)
    assert isinstance(scan, ScanRecorded)
    return scan


def test_what_a_device_sends_becomes_a_scan() -> None:
    assert accepted(code="2042469234860") == a_scan(scan_id=UUID(uuid(1)))


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        *(
            (one, V4)
            for one in (V4, V4.upper(), V4.replace("-", ""), f"{{{V4}}}", f"urn:uuid:{V4}")
        ),
        *(
            (one, one)
            for one in (
                "c232ab00-9414-11ec-b3c8-9f6bdeced846",
                "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
                "00000000-0000-0000-0000-000000000000",
            )
        ),
    ],
)
def test_every_spelling_and_version_of_a_uuid_is_accepted(spelled: str, meant: str) -> None:
    assert accepted(uuid=spelled).scan_id == UUID(meant)


@pytest.mark.parametrize(
    "wrong",
    ["", "uuid1", "\ud800", 7, [V4], f" {V4}", f"{{{V4}", V4[:-1], V4[:-1] + "_", f"{V4}\n"],
    ids=repr,
)
def test_what_is_no_uuid_is_a_fault(wrong: Any) -> None:
    assert refused(uuid=wrong) == "bad_uuid"
    assert not isinstance(wrong, str) or parse_uuid(wrong) is None


@pytest.mark.parametrize("absent", ABSENT)
def test_without_a_uuid_the_id_follows_from_the_content(absent: object) -> None:
    first = accepted(uuid=absent).scan_id

    assert accepted(uuid=absent).scan_id == first
    assert again(event(uuid=absent)).scan_id == first
    assert accepted(uuid=absent, code="777").scan_id != first
    assert accepted(uuid=absent, ts=NOON_MS + 1).scan_id != first


@pytest.mark.parametrize(
    "ts", [NOON_MS, str(NOON_MS), f" {NOON_MS} ", float(NOON_MS), f"+{NOON_MS}"], ids=repr
)
def test_a_whole_number_of_milliseconds_is_a_time_also_as_a_text(ts: object) -> None:
    assert accepted(ts=ts).scanned_at == NOON


@pytest.mark.parametrize(
    "ts",
    [*ABSENT, 1.5, "2025-10-31T09:00:00Z", "", True, [NOON_MS], float("nan"), float("inf"),
     "-5", "9" * 30, "١٧٦١٩٠١٢٠٠٠٠٠"],
    ids=repr,
)  # fmt: skip
def test_other_values_are_no_time(ts: object) -> None:
    assert refused(ts=ts) == "bad_ts"


def test_timestamp_stands_in_for_a_missing_ts() -> None:
    second = NOON - timedelta(seconds=1)
    for absent in ABSENT:
        assert accepted(ts=absent, timestamp=NOON_MS - 1000).scanned_at == second
    assert accepted(timestamp=NOON_MS - 1000).scanned_at == NOON


@pytest.mark.parametrize(
    "ts", [-1, 0, NOON_MS // 1000, FLOOR_MS - 1, 253_402_300_800_000, 10**30, -(10**30)]
)
def test_a_time_out_of_range_is_implausible(ts: int) -> None:
    assert refused(ts=ts) == "implausible_ts"


MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("ts", "effective_at", "skewed"),
    [
        (FLOOR_MS, FLOOR, False),
        (NOON_MS - 86_400_000, NOON - DAY, False),
        (NOON_MS + 60_000, NOON + MINUTE, False),
        (NOON_MS + 60_001, NOON, True),
        (253_402_300_799_999, NOON, True),
    ],
    ids=["the floor itself", "a day behind", "a minute ahead", "further ahead", "the year 9999"],
)
def test_a_clock_up_to_a_minute_ahead_is_accepted_and_stored_unchanged(
    ts: int, effective_at: Any, skewed: bool
) -> None:
    scan = accepted(ts=ts)

    assert (scan.effective_at, scan.skewed) == (effective_at, skewed)
    assert round(scan.scanned_at.timestamp() * 1000) == ts


@pytest.mark.parametrize("value", [None, 5, "text", [], [event()], True])
def test_an_event_is_an_object(value: object) -> None:
    fault = outcome(value)

    assert isinstance(fault, Fault)
    assert fault.code == "not_an_object"


def test_content_is_the_same_however_often_it_is_received() -> None:
    first = accepted(ts=NOON_MS + 100_000)

    assert same_content(first, again(event(ts=NOON_MS + 100_000, details=None)))
    assert same_content(first, again(event(ts=NOON_MS + 100_000, operator="anna ")))
    assert not same_content(first, again(event(ts=NOON_MS + 100_000, operator="Anna")))
    assert not same_content(first, accepted(code="777"))
    assert not same_content(first, accepted())


def test_missing_texts_have_defaults() -> None:
    for absent in (*ABSENT, ""):
        for name in ("client", "city", "box", "code"):
            assert getattr(accepted(**{name: absent}), name) == ""
    for given, stored in ((None, None), (..., None), ("", ""), ("x", "x")):
        assert accepted(details=given).details == stored
    for given, stored in ((..., "pwa"), ("", "pwa"), ("scanner", "scanner")):
        assert accepted(source=given).source == stored
    assert (accepted(type="").kind, accepted(operator="").operator) == ("", "")


def test_type_operator_and_a_source_of_null_are_missing() -> None:
    for absent in ABSENT:
        assert refused(type=absent) == refused(operator=absent) == "missing_field"
    assert refused(source=None) == "missing_field"


@EVERY_TEXT
def test_a_text_must_be_a_text_that_is_not_too_long(name: str) -> None:
    for value in (7, True, ["x"], {"x": 1}, 1.5):
        assert refused(**{name: value}) == "bad_text"
    assert accepted(**{name: "😀" * LONGEST[name]}).skewed is False
    assert refused(**{name: "x" * (LONGEST[name] + 1)}) == "too_long"


@EVERY_TEXT
@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "\udfff"], ids=ascii)
def test_a_text_that_no_database_can_store_is_a_fault(name: str, text: str) -> None:
    assert refused(**{name: text}) == "unstorable_text"


def test_unknown_types_and_fields_and_hostile_texts_are_accepted() -> None:
    assert accepted(type="TELEPORT", day="2025-10-31", synced=False).kind == "TELEPORT"
    for text in ("'; DROP TABLE events; --", "<script>alert(1)</script>"):
        assert accepted(operator=text, code=text).code == text
