"""The rules one event of a batch is judged by."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from contracts.ingest import ScanId, ScanRecorded
from services.ingest.domain.scan import (
    Fault,
    Reading,
    judge,
    parse_uuid,
    read,
    same_content,
)

NOW = datetime(2025, 10, 31, 9, tzinfo=UTC)
NOW_MS = 1_761_901_200_000
FLOOR = datetime(2015, 1, 1, tzinfo=UTC)
FLOOR_MS = 1_420_070_400_000
V4 = "c6414b06-5a3c-4c0e-9e0f-2b1d3f4a5b6c"


def event(**changes: Any) -> dict[str, Any]:
    told = {
        "uuid": V4,
        "ts": NOW_MS,
        "type": "ITEM",
        "operator": "anna",
        "client": "ivancov",
        "city": "Novosem",
        "box": "ivancov/8",
        "code": "2042469234860",
        "details": "",
        "source": "pwa",
    }
    return {name: value for name, value in (told | changes).items() if value is not ...}


def outcome(value: object) -> ScanRecorded | Fault:
    reading = read(value)
    if isinstance(reading, Fault):
        return reading
    return judge(reading, received_at=NOW, not_before=FLOOR)


def accepted(**changes: Any) -> ScanRecorded:
    found = outcome(event(**changes))
    assert isinstance(found, ScanRecorded)
    return found


def refused(**changes: Any) -> str:
    found = outcome(event(**changes))
    assert isinstance(found, Fault)
    return found.code


def test_what_a_device_sends_becomes_a_scan() -> None:
    assert accepted() == ScanRecorded(
        scan_id=ScanId(UUID(V4)),
        kind="ITEM",
        operator="anna",
        client="ivancov",
        city="Novosem",
        box="ivancov/8",
        code="2042469234860",
        details="",
        source="pwa",
        scanned_at=NOW,
        received_at=NOW,
        effective_at=NOW,
        skewed=False,
    )


@pytest.mark.parametrize(
    "spelling",
    [V4, V4.upper(), V4.replace("-", ""), f"{{{V4}}}", f"urn:uuid:{V4}"],
)
def test_every_spelling_of_a_uuid_is_the_same_scan(spelling: str) -> None:
    assert accepted(uuid=spelling).scan_id == UUID(V4)


@pytest.mark.parametrize(
    "uuid",
    [
        "c232ab00-9414-11ec-b3c8-9f6bdeced846",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "00000000-0000-0000-0000-000000000000",
    ],
)
def test_every_version_of_a_uuid_is_accepted(uuid: str) -> None:
    assert accepted(uuid=uuid).scan_id == UUID(uuid)


@pytest.mark.parametrize(
    "uuid", ["", "uuid1", 7, [V4], f" {V4}", f"{{{V4}", V4[:-1], V4[:-1] + "_", f"{V4}\n"]
)
def test_what_is_no_uuid_is_a_fault(uuid: object) -> None:
    assert refused(uuid=uuid) == "bad_uuid"


@pytest.mark.parametrize("absent", [None, ...])
def test_without_a_uuid_the_id_follows_from_the_content(absent: object) -> None:
    assert accepted(uuid=absent).scan_id == accepted(uuid=absent).scan_id
    assert accepted(uuid=absent).scan_id != accepted(uuid=absent, code="777").scan_id
    assert accepted(uuid=absent).scan_id != accepted(uuid=absent, ts=NOW_MS + 1).scan_id


def test_the_same_content_gives_the_same_id_whenever_it_is_received() -> None:
    reading = read(event(uuid=None))
    assert isinstance(reading, Reading)

    first = judge(reading, received_at=NOW, not_before=FLOOR)
    second = judge(reading, received_at=NOW + timedelta(hours=1), not_before=FLOOR)

    assert first.scan_id == second.scan_id


@pytest.mark.parametrize(
    "ts", [NOW_MS, str(NOW_MS), f" {NOW_MS} ", float(NOW_MS), f"+{NOW_MS}"], ids=repr
)
def test_a_whole_number_of_milliseconds_is_a_time_also_as_a_text(ts: object) -> None:
    assert accepted(ts=ts).scanned_at == NOW


@pytest.mark.parametrize(
    "ts",
    [None, ..., 1.5, "2025-10-31T09:00:00Z", "", True, [NOW_MS], float("nan"), float("inf"),
     "-5", "9" * 30, "١٧٦١٩٠١٢٠٠٠٠٠"],
    ids=repr,
)  # fmt: skip
def test_anything_else_is_no_time(ts: object) -> None:
    assert refused(ts=ts) == "bad_ts"


def test_timestamp_stands_in_for_a_missing_ts() -> None:
    assert accepted(ts=..., timestamp=NOW_MS - 1000).scanned_at == NOW - timedelta(seconds=1)
    assert accepted(ts=None, timestamp=NOW_MS - 1000).scanned_at == NOW - timedelta(seconds=1)
    assert accepted(timestamp=NOW_MS - 1000).scanned_at == NOW


@pytest.mark.parametrize(
    "ts", [-1, 0, NOW_MS // 1000, FLOOR_MS - 1, 253_402_300_800_000, 10**30, -(10**30)]
)
def test_a_moment_out_of_the_world_is_implausible(ts: int) -> None:
    assert refused(ts=ts) == "implausible_ts"


def test_the_floor_itself_is_plausible() -> None:
    assert accepted(ts=FLOOR_MS).effective_at == FLOOR


def test_a_clock_up_to_a_minute_ahead_is_believed() -> None:
    scan = accepted(ts=NOW_MS + 60_000)

    assert (scan.effective_at, scan.skewed) == (NOW + timedelta(seconds=60), False)


def test_a_clock_further_ahead_counts_from_when_it_was_received() -> None:
    scan = accepted(ts=NOW_MS + 60_001)

    assert scan.scanned_at == NOW + timedelta(milliseconds=60_001)
    assert (scan.effective_at, scan.skewed) == (NOW, True)


def test_a_clock_far_ahead_is_kept_as_it_is() -> None:
    assert accepted(ts=253_402_300_799_999).scanned_at.year == 9999


def test_a_clock_behind_is_believed() -> None:
    scan = accepted(ts=NOW_MS - 86_400_000)

    assert (scan.effective_at, scan.skewed) == (NOW - timedelta(days=1), False)


@pytest.mark.parametrize("name", ["client", "city", "box", "code"])
@pytest.mark.parametrize("absent", [None, ..., ""])
def test_texts_that_are_left_out_are_empty(name: str, absent: object) -> None:
    assert getattr(accepted(**{name: absent}), name) == ""


@pytest.mark.parametrize(("given", "kept"), [(None, None), (..., None), ("", ""), ("x", "x")])
def test_details_are_kept_as_they_are(given: object, kept: str | None) -> None:
    assert accepted(details=given).details == kept


@pytest.mark.parametrize("name", ["type", "operator"])
def test_type_and_operator_may_be_empty_but_not_missing(name: str) -> None:
    assert getattr(accepted(**{name: ""}), {"type": "kind"}.get(name, name)) == ""
    assert refused(**{name: None}) == "missing_field"
    assert refused(**{name: ...}) == "missing_field"


@pytest.mark.parametrize(("given", "kept"), [(..., "pwa"), ("", "pwa"), ("scanner", "scanner")])
def test_a_source_that_is_not_named_is_the_pwa(given: object, kept: str) -> None:
    assert accepted(source=given).source == kept


def test_a_source_of_null_is_a_fault() -> None:
    assert refused(source=None) == "missing_field"


@pytest.mark.parametrize(
    "name", ["type", "operator", "client", "city", "box", "code", "details", "source"]
)
@pytest.mark.parametrize("value", [7, True, ["x"], {"x": 1}, 1.5])
def test_a_text_must_be_a_text(name: str, value: object) -> None:
    assert refused(**{name: value}) == "bad_text"


@pytest.mark.parametrize(
    ("name", "longest"),
    [("type", 50), ("operator", 100), ("client", 100), ("city", 100), ("box", 100), ("code", 500),
     ("source", 50), ("details", 65_536)],
)  # fmt: skip
def test_texts_have_a_longest_length_in_characters(name: str, longest: int) -> None:
    assert accepted(**{name: "😀" * longest}).skewed is False
    assert refused(**{name: "x" * (longest + 1)}) == "too_long"


@pytest.mark.parametrize(
    "name", ["type", "operator", "client", "city", "box", "code", "details", "source"]
)
@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "\udfff"], ids=ascii)
def test_what_no_database_can_store_is_a_fault(name: str, text: str) -> None:
    assert refused(**{name: text}) == "unstorable_text"


@pytest.mark.parametrize("value", [None, 5, "text", [], [event()], True])
def test_an_event_is_an_object(value: object) -> None:
    fault = outcome(value)

    assert isinstance(fault, Fault)
    assert fault.code == "not_an_object"


def test_a_fault_names_the_id_if_it_could_be_read() -> None:
    for broken in ({"ts": None}, {"code": 7}, {"code": "x" * 501}, {"ts": 0}):
        fault = outcome(event(**broken))
        assert isinstance(fault, Fault)
        assert fault.scan_id == UUID(V4)


def test_unknown_types_and_fields_are_welcome() -> None:
    assert accepted(type="TELEPORT", day="2025-10-31", synced=False).kind == "TELEPORT"


@pytest.mark.parametrize("text", ["'; DROP TABLE events; --", "<script>alert(1)</script>"])
def test_hostile_texts_are_just_texts(text: str) -> None:
    assert accepted(operator=text, code=text).code == text


def test_content_is_the_same_however_often_it_is_received() -> None:
    first = accepted(ts=NOW_MS + 100_000)
    reading = read(event(ts=NOW_MS + 100_000, details=None))
    assert isinstance(reading, Reading)

    again = judge(reading, received_at=NOW + timedelta(hours=1), not_before=FLOOR)

    assert isinstance(again, ScanRecorded)
    assert same_content(first, again)
    assert not same_content(first, accepted(code="777"))
    assert not same_content(first, accepted())


def test_malformed_uuids_are_none() -> None:
    assert parse_uuid("uuid1") is None
