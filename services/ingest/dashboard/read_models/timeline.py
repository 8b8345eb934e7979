"""The events of some days in the order in which the log recorded them.

An earlier instant is a prefix of the timeline. An event takes about 70 bytes: its position in the
log, when it was recorded, and the fields of a scan that select rows of `scan_log`.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from heapq import nlargest
from typing import Final, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from contracts.ingest import IngestEvent, ItemRemoved, RemovalRecorded, ScanRecorded
from libs.eventsourcing.log import Entry
from libs.names import comparable
from services.ingest.scans.domain.day import day_of
from services.ingest.scans.domain.filter import ScanFilter
from services.ingest.scans.domain.filter import matches as matches_filters
from services.ingest.scans.domain.scan import ITEM, as_scan

UNREAD: Final = -1
OTHER: Final = -2
REMOVAL: Final = -3
"""Stored instead of the number of a scan's group."""
ID_BYTES: Final = 16
EVENT_BYTES: Final = 5 * 8 + 4 + ID_BYTES

BoxKey: TypeAlias = tuple[date, str, str, str]
"""Day, client, city, box."""

Integers: TypeAlias = "array[int]"
_integers = partial(array, "q")


class Group(NamedTuple):
    """The fields of `FILTERS`, day, box and kind; scans with equal ones share a group."""

    day: date
    operator: str
    client: str
    city: str
    box: str
    is_item: bool


@dataclass(slots=True)
class Timeline:
    """One array for each field; moments are microseconds since 1970, days are of `zone`."""

    zone: ZoneInfo
    positions: Integers = field(default_factory=_integers)
    _recorded: Integers = field(default_factory=_integers)
    _received: Integers = field(default_factory=_integers)
    _scanned: Integers = field(default_factory=_integers)
    _effective: Integers = field(default_factory=_integers)
    _groups: Integers = field(default_factory=partial(array, "i"))
    _ids: bytearray = field(default_factory=bytearray)
    _numbers: dict[Group, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def size(self) -> int:
        """The approximate size in bytes."""
        return EVENT_BYTES * len(self) + 500 * len(self._numbers)

    def add(self, entries: Sequence[Entry]) -> int:
        """Add entries in the order of their recording.

        Returns how many events, from the first, have kept their positions.
        """
        if not entries:
            return len(self)
        first = bisect_right(self._recorded, _micros(entries[0].recorded_at))
        # Usually they are appended. Otherwise the tail is merged, and its events are read again.
        tail = zip(self._recorded[first:], self.positions[first:], strict=True)
        added = ((_micros(entry.recorded_at), entry.position) for entry in entries)
        merged = sorted([*tail, *added])
        self._cut(first)
        self._recorded.extend(recorded for recorded, _ in merged)
        self.positions.extend(position for _, position in merged)
        for column in (self._received, self._scanned, self._effective):
            column.extend(array("q", bytes(8 * len(merged))))
        self._groups.extend(array("i", [UNREAD]) * len(merged))
        self._ids.extend(bytes(ID_BYTES * len(merged)))
        return first

    def count_at(self, instant: datetime) -> int:
        """The number of events recorded by then."""
        return bisect_right(self._recorded, _micros(instant))

    def describe(self, n: int, event: IngestEvent | None) -> None:
        """Set the `n`-th event; None for one that is left out."""
        scan = as_scan(event) if isinstance(event, RemovalRecorded) else event
        if isinstance(scan, ScanRecorded):
            self._groups[n] = self._number(scan)
            self._received[n] = _micros(scan.received_at)
            self._scanned[n] = _micros(scan.scanned_at)
            self._effective[n] = _micros(scan.effective_at)
            self._ids[n * ID_BYTES : (n + 1) * ID_BYTES] = scan.scan_id.bytes
        elif isinstance(scan, ItemRemoved):
            self._groups[n] = REMOVAL
            self._ids[n * ID_BYTES : (n + 1) * ID_BYTES] = scan.scan.scan_id.bytes
        else:
            self._groups[n] = OTHER

    def operators(self, count: int) -> set[str]:
        """The operators of the scans among the first `count` events."""
        present = set(self._groups[:count])
        return {group.operator for group, number in self._numbers.items() if number in present}

    def newest(self, count: int, scan_filter: ScanFilter, limit: int) -> list[int]:
        """Positions of at least the `limit` newest rows that match, of the first `count` events."""
        days = scan_filter.days
        rows = self._select(
            count,
            lambda one: days.first <= one.day <= days.last and matches_filters(scan_filter, one),
        )
        removed = self._removed(count)
        newest = _first(rows, limit + len(removed), lambda n: (self._received[n], self._scanned[n]))
        return [self.positions[n] for n in newest if self._id(n) not in removed]

    def contents(
        self, count: int, scan_filter: ScanFilter, boxes: Mapping[BoxKey, int]
    ) -> list[int]:
        """Positions of at least the first matching items of each box, as many as `boxes` says."""

        def matches(group: Group) -> bool:
            return (
                group.is_item
                and matches_filters(scan_filter, group)
                and (group.day, group.client, group.city, group.box) in boxes
            )

        groups, removed = {n: group for group, n in self._numbers.items()}, self._removed(count)
        by_box: dict[BoxKey, list[int]] = {}
        for n in self._select(count, matches):
            if self._id(n) not in removed:
                group = groups[self._groups[n]]
                by_box.setdefault((group.day, group.client, group.city, group.box), []).append(n)
        return [
            self.positions[n]
            for box, items in by_box.items()
            for n in _first(items, boxes[box], lambda n: (-self._effective[n], -self._received[n]))
        ]

    def _cut(self, first: int) -> None:
        for column in (
            self.positions,
            self._recorded,
            self._received,
            self._scanned,
            self._effective,
            self._groups,
        ):
            del column[first:]
        del self._ids[first * ID_BYTES :]

    def _number(self, scan: ScanRecorded) -> int:
        group = Group(
            day=day_of(scan.effective_at, self.zone),
            operator=comparable(scan.operator),
            client=scan.client,
            city=scan.city,
            box=scan.box,
            is_item=scan.kind == ITEM,
        )
        return self._numbers.setdefault(group, len(self._numbers))

    def _select(self, count: int, matches: Callable[[Group], bool]) -> list[int]:
        numbers = {number for group, number in self._numbers.items() if matches(group)}
        return [n for n, number in enumerate(self._groups[:count]) if number in numbers]

    def _removed(self, count: int) -> set[bytes]:
        groups = enumerate(self._groups[:count])
        return {self._id(n) for n, number in groups if number == REMOVAL}

    def _id(self, n: int) -> bytes:
        return bytes(self._ids[n * ID_BYTES : (n + 1) * ID_BYTES])


def _first(
    rows: Sequence[int], most: int, order: Callable[[int], tuple[int, ...]]
) -> Iterable[int]:
    """The `most` rows of the greatest order, and all rows that equal the last of them."""
    if len(rows) <= most:
        return rows
    if not most:
        return []
    last = order(nlargest(most, rows, key=order)[-1])
    return [n for n in rows if order(n) >= last]


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
