"""Which scans a removal removes, and its events."""

from datetime import timedelta
from uuid import UUID

import pytest

from contracts.ingest import ScanRecorded
from services.ingest.removals.domain import Kind, LoggedScan, Removal, RemoveItems, decide, latest
from tests.services.ingest.history import NOON, a_scan


def logged(*scans: ScanRecorded) -> list[LoggedScan]:
    return [LoggedScan(scan=scan, recording=scan.scan_id, removed=False) for scan in scans]


def command(kind: Kind = "BULK_REMOVE", reason: str = "") -> RemoveItems:
    at = NOON + timedelta(hours=1)
    return RemoveItems(removal_id=UUID(int=99), kind=kind, operator="vera", reason=reason, at=at)


def decided(*scans: ScanRecorded, kind: Kind = "BULK_REMOVE", reason: str = "") -> Removal:
    removal = decide(logged(*scans), command(kind, reason))
    assert removal
    return removal


def test_every_item_is_removed_and_named_in_the_audit() -> None:
    scans = [a_scan(1), a_scan(2)]

    removal = decided(*scans)

    assert removal.audit.removed == (scans[0].scan_id, scans[1].scan_id)
    assert [item.scan for item in removal.items] == scans
    assert {item.removal_id for item in removal.items} == {UUID(int=99)}
    assert {(item.removed_by, item.removed_at) for item in removal.items} == {
        ("vera", NOON + timedelta(hours=1))
    }
    assert decide([], command()) is None


@pytest.mark.parametrize("kind", ["BOX", "CLOSE", "ERROR", "REMOVE", "BULK_REMOVE", "item", ""])
def test_scans_that_are_no_items_cannot_be_removed(kind: str) -> None:
    removal = decided(a_scan(1, kind=kind), a_scan(2))

    assert [scan_id.int for scan_id in removal.audit.removed] == [2]
    assert decide(logged(a_scan(1, kind=kind)), command()) is None


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        ({}, ("ivancov", "Novosem", "ivancov/8")),
        ({"box": "ivancov/9"}, ("ivancov", "Novosem", "")),
        ({"client": "petrov", "box": "petrov/8"}, ("", "Novosem", "")),
        ({"city": ""}, ("ivancov", "", "ivancov/8")),
    ],
)
def test_the_audit_has_the_fields_that_all_items_share(
    other: dict[str, str], shared: tuple[str, str, str]
) -> None:
    audit = decided(a_scan(1), a_scan(2, **other), a_scan(3)).audit

    assert (audit.client, audit.city, audit.box) == shared


def test_the_audit_has_the_usual_texts_for_code_and_reason() -> None:
    many = decided(a_scan(1), a_scan(2)).audit
    single = decided(a_scan(1, code="777"), kind="REMOVE").audit
    explained = decided(a_scan(1), reason="брак")

    assert (many.kind, many.code) == ("BULK_REMOVE", "Удалено 2 товаров")
    assert many.reason == "Массовое удаление через dashboard"
    assert (single.kind, single.code) == ("REMOVE", "777")
    assert single.reason == "Удалено через dashboard"
    assert (explained.audit.reason, explained.items[0].reason) == ("брак", "брак")


def test_the_last_scanned_of_equal_barcodes_in_a_box_is_removed() -> None:
    later = NOON + timedelta(seconds=1)
    scans = [
        a_scan(4),
        a_scan(2, scanned_at=later),
        a_scan(3, scanned_at=later, received_at=later),
        a_scan(1, scanned_at=later, received_at=later),
    ]

    order = []
    while items := latest(logged(*scans), box="ivancov/8", code="2042469234860"):
        assert len(items) == 1
        order.append(items[0].scan.scan_id.int)
        scans.remove(items[0].scan)

    assert order == [3, 1, 2, 4]


@pytest.mark.parametrize(
    "other", [{"kind": "ERROR"}, {"box": "ivancov/80"}, {"code": "204"}, {"box": ""}]
)
def test_items_of_another_box_code_or_kind_do_not_match(other: dict[str, str]) -> None:
    assert not latest(logged(a_scan(1, **other)), box="ivancov/8", code="2042469234860")
