"""Taking items back: which scans may go, and what is told of it."""

from datetime import timedelta
from uuid import UUID

import pytest

from contracts.ingest import ScanRecorded
from services.ingest.removals.domain import Kind, LoggedScan, Removal, Removing, decide, latest
from tests.services.ingest.history import NOON, a_scan


def there(*scans: ScanRecorded) -> list[LoggedScan]:
    return [LoggedScan(scan=scan, recording=scan.scan_id, removed=False) for scan in scans]


def wanted(kind: Kind = "BULK_REMOVE", reason: str = "") -> Removing:
    at = NOON + timedelta(hours=1)
    return Removing(removal_id=UUID(int=99), kind=kind, operator="vera", reason=reason, at=at)


def decided(*scans: ScanRecorded, kind: Kind = "BULK_REMOVE", reason: str = "") -> Removal:
    found = decide(there(*scans), wanted(kind, reason))
    assert found
    return found


def test_every_item_that_is_there_is_removed_and_named_in_the_audit() -> None:
    scans = [a_scan(1), a_scan(2)]

    found = decided(*scans)

    assert found.audit.removed == (scans[0].scan_id, scans[1].scan_id)
    assert [item.scan for item in found.items] == scans
    assert {item.removal_id for item in found.items} == {UUID(int=99)}
    assert {(item.removed_by, item.removed_at) for item in found.items} == {
        ("vera", NOON + timedelta(hours=1))
    }
    assert decide([], wanted()) is None


@pytest.mark.parametrize("kind", ["BOX", "CLOSE", "ERROR", "REMOVE", "BULK_REMOVE", "item", ""])
def test_what_is_no_item_cannot_be_removed(kind: str) -> None:
    found = decided(a_scan(1, kind=kind), a_scan(2))

    assert [scan_id.int for scan_id in found.audit.removed] == [2]
    assert decide(there(a_scan(1, kind=kind)), wanted()) is None


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        ({}, ("ivancov", "Novosem", "ivancov/8")),
        ({"box": "ivancov/9"}, ("ivancov", "Novosem", "")),
        ({"client": "petrov", "box": "petrov/8"}, ("", "Novosem", "")),
        ({"city": ""}, ("ivancov", "", "ivancov/8")),
    ],
)
def test_the_audit_carries_what_all_items_have_in_common(
    other: dict[str, str], shared: tuple[str, str, str]
) -> None:
    audit = decided(a_scan(1), a_scan(2, **other), a_scan(3)).audit

    assert (audit.client, audit.city, audit.box) == shared


def test_the_audit_says_what_and_why_in_the_words_people_know() -> None:
    many = decided(a_scan(1), a_scan(2)).audit
    single = decided(a_scan(1, code="777"), kind="REMOVE").audit
    explained = decided(a_scan(1), reason="брак")

    assert (many.kind, many.code) == ("BULK_REMOVE", "Удалено 2 товаров")
    assert many.reason == "Массовое удаление через dashboard"
    assert (single.kind, single.code) == ("REMOVE", "777")
    assert single.reason == "Удалено через dashboard"
    assert (explained.audit.reason, explained.items[0].reason) == ("брак", "брак")


def test_of_equal_barcodes_in_a_box_the_latest_scanned_goes() -> None:
    later = NOON + timedelta(seconds=1)
    scans = [
        a_scan(4),
        a_scan(2, scanned_at=later),
        a_scan(3, scanned_at=later, received_at=later),
        a_scan(1, scanned_at=later, received_at=later),
    ]

    order = []
    while found := latest(there(*scans), box="ivancov/8", code="2042469234860"):
        assert len(found) == 1
        order.append(found[0].scan.scan_id.int)
        scans.remove(found[0].scan)

    assert order == [3, 1, 2, 4]


@pytest.mark.parametrize(
    "other", [{"kind": "ERROR"}, {"box": "ivancov/80"}, {"code": "204"}, {"box": ""}]
)
def test_another_box_code_or_kind_is_not_meant(other: dict[str, str]) -> None:
    assert not latest(there(a_scan(1, **other)), box="ivancov/8", code="2042469234860")
