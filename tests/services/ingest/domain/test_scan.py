"""The rules one event of a batch is judged by: its id, its time, its shape."""

from datetime import timedelta
from uuid import UUID

import pytest

from contracts.ingest import ScanId, ScanRecorded
from services.ingest.domain.scan import Fault, Reading, judge, parse_uuid, read, same_content
from tests.services.ingest.domain.judged import (
    FLOOR,
    FLOOR_MS,
    NOW,
    NOW_MS,
    V4,
    accepted,
    event,
    outcome,
    refused,
)


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
