"""Taking items back: which scans may go, and what is told of it."""

from datetime import timedelta
from uuid import UUID

import pytest
from tests.services.ingest.told import NOON, a_scan

from contracts.ingest import ScanRecorded
from services.ingest.domain.removal import Found, Kind, Removing, as_scan, decide, latest


def there(*scans: ScanRecorded) -> list[Found]:
    return [Found(scan=scan, removed=False) for scan in scans]


def wanted(kind: Kind = "BULK_REMOVE", reason: str = "") -> Removing:
    at = NOON + timedelta(hours=1)
    return Removing(removal_id=UUID(int=99), kind=kind, operator="vera", reason=reason, at=at)


def test_every_item_that_is_there_is_removed_and_named_in_the_audit() -> None:
    scans = [a_scan(1), a_scan(2)]

    told = decide(there(*scans), wanted())

    assert told
    assert told.audit.removed == (scans[0].scan_id, scans[1].scan_id)
    assert [item.scan for item in told.items] == scans
    assert {item.removal_id for item in told.items} == {UUID(int=99)}
    assert {(item.removed_by, item.removed_at) for item in told.items} == {
        ("vera", NOON + timedelta(hours=1))
    }


@pytest.mark.parametrize("kind", ["BOX", "CLOSE", "ERROR", "REMOVE", "BULK_REMOVE", "item", ""])
def test_what_is_no_item_cannot_be_removed(kind: str) -> None:
    told = decide(there(a_scan(1, kind=kind), a_scan(2)), wanted())

    assert told
    assert [scan_id.int for scan_id in told.audit.removed] == [2]
    assert decide(there(a_scan(1, kind=kind)), wanted()) is None


def test_what_was_removed_before_is_not_removed_again() -> None:
    gone = Found(scan=a_scan(1), removed=True)

    assert decide([gone], wanted()) is None
    told = decide([gone, *there(a_scan(2))], wanted())
    assert told
    assert [item.scan.scan_id.int for item in told.items] == [2]


def test_nothing_to_remove_tells_nothing() -> None:
    assert decide([], wanted()) is None


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
    told = decide(there(a_scan(1), a_scan(2, **other), a_scan(3)), wanted())

    assert told
    assert (told.audit.client, told.audit.city, told.audit.box) == shared


def test_the_audit_says_what_and_why_in_the_words_people_know() -> None:
    many = decide(there(a_scan(1), a_scan(2)), wanted())
    single = decide(there(a_scan(1, code="777")), wanted("REMOVE"))
    explained = decide(there(a_scan(1)), wanted(reason="брак"))

    assert many
    assert single
    assert explained
    assert (many.audit.kind, many.audit.code, many.audit.reason) == (
        "BULK_REMOVE",
        "Удалено 2 товаров",
        "Массовое удаление через dashboard",
    )
    assert (single.audit.kind, single.audit.code, single.audit.reason) == (
        "REMOVE",
        "777",
        "Удалено через dashboard",
    )
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


def test_the_latest_passes_over_what_is_gone() -> None:
    gone = Found(scan=a_scan(2, scanned_at=NOON + timedelta(hours=1)), removed=True)

    (found,) = latest([gone, *there(a_scan(1))], box="ivancov/8", code="2042469234860")

    assert found.scan.scan_id.int == 1


def test_people_find_the_audit_among_the_scans_as_the_dashboards_doing() -> None:
    told = decide(there(a_scan(1)), wanted("REMOVE"))
    assert told

    scan = as_scan(told.audit)

    assert (scan.scan_id, scan.kind, scan.source) == (UUID(int=99), "REMOVE", "dashboard")
    assert (scan.operator, scan.box, scan.details) == ("vera", "ivancov/8", told.audit.reason)
    assert {scan.scanned_at, scan.received_at, scan.effective_at} == {told.audit.removed_at}
