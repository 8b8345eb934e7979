"""Boxes by definition: a fold over single events."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from contracts.ingest import ScanRecorded
from services.ingest.scans.domain.box import CARRY, BoxStatus, evolve, number_key, tally_event
from services.ingest.scans.domain.filter import ScanFilter, display_name

TRANSITIONS = {"BOX", "CLOSE", "AUTO_CLOSE"}


def one_by_one(
    scans: Sequence[ScanRecorded], on_day: date, zone: ZoneInfo
) -> tuple[BoxStatus, bool]:
    """The status of a label on a day, and whether its box was continued.

    §3.5's fold, and where a box ends that is used again on another day.
    """
    near = [one for one in scans if abs((day_of(one, zone) - on_day).days) <= CARRY]
    ordered = sorted(near, key=lambda one: (one.effective_at, one.received_at, one.scan_id))
    box, day, continued = BoxStatus(), None, False
    for scan in (one for one in ordered if day_of(one, zone) <= on_day):
        today = day_of(scan, zone)
        if today != day:
            transitions = [
                t.kind for t in ordered if day_of(t, zone) == today and t.kind in TRANSITIONS
            ]
            continued = day is not None and box.is_open and transitions[:1] != ["BOX"]
            box, day = (box if continued else BoxStatus()), today
        box = transitioned(box, scan)
    later = [t for t in ordered if day_of(t, zone) > on_day and t.kind in TRANSITIONS]
    if box.is_open and later and later[0].kind != "BOX":
        box = transitioned(box, later[0])
    return box, continued


def transitioned(box: BoxStatus, scan: ScanRecorded) -> BoxStatus:
    if scan.kind not in TRANSITIONS:
        return box
    event_tally = tally_event(scan)
    assert event_tally is not None
    assert event_tally.last is not None
    return evolve(box, event_tally.last)


def day_of(scan: ScanRecorded, zone: ZoneInfo) -> date:
    return scan.effective_at.astimezone(zone).date()


def boxes(
    scans: Sequence[ScanRecorded],
    removed: set[ScanRecorded],
    scan_filter: ScanFilter,
    zone: ZoneInfo,
) -> list[dict[str, Any]]:
    """Every box that answers the question, in the order of the answer."""
    groups: dict[tuple[str, str, str, date], list[ScanRecorded]] = {}
    for scan in scans:
        if scan.box and _matches(scan, scan_filter, zone):
            key = (scan.client, scan.city, scan.box, day_of(scan, zone))
            groups.setdefault(key, []).append(scan)
    all_boxes = [_box(key, day_scans, scans, removed, zone) for key, day_scans in groups.items()]
    clients: dict[str, int] = {}
    cities: dict[tuple[str, str], int] = {}
    for one in all_boxes:
        clients[one["client"]] = clients.get(one["client"], 0) + one["count"]
        city = (one["client"], one["city"])
        cities[city] = cities.get(city, 0) + one["count"]
    return sorted(
        all_boxes,
        key=lambda one: (
            -clients[one["client"]],
            display_name(one["client"]),
            -cities[one["client"], one["city"]],
            display_name(one["city"]),
            -one["count"],
            number_key(one["label"]),
            one["label"],
            one["day"],
        ),
    )


def _matches(scan: ScanRecorded, scan_filter: ScanFilter, zone: ZoneInfo) -> bool:
    filters = (scan_filter.operator, scan_filter.client, scan_filter.city)
    has = (scan.operator, scan.client, scan.city)
    in_time = scan_filter.days.first <= day_of(scan, zone) <= scan_filter.days.last
    return in_time and all(want in (None, name) for want, name in zip(filters, has, strict=True))


def _box(
    key: tuple[str, str, str, date],
    day_scans: Sequence[ScanRecorded],
    scans: Sequence[ScanRecorded],
    removed: set[ScanRecorded],
    zone: ZoneInfo,
) -> dict[str, Any]:
    items = [one for one in day_scans if one.kind == "ITEM" and one not in removed]
    of_label = [one for one in scans if (one.client, one.city, one.box) == key[:3]]
    status, continued = one_by_one(of_label, key[3], zone)
    return {
        **dict(zip(("client", "city", "label", "day"), key, strict=True)),
        "count": len(items),
        "first_at": min(one.effective_at for one in day_scans),
        "last_at": max(one.effective_at for one in day_scans),
        "operators": sorted({one.operator for one in day_scans} - {""}),
        "status": status,
        "continued": continued,
        "items": [
            one.scan_id
            for one in sorted(items, key=lambda s: (s.effective_at, s.received_at, s.scan_id))
        ],
    }
