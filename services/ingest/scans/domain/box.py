"""A box: its label, its contents on a day, and whether it is open.

A `Tally` sums up the events of a box on one day. Tallies of one operator add up in any order and
grouping, with the same result as the events one by one; the read model merges those of several.

The order of two transitions (§3.5): one operator scans with one device, so the device's clock
orders that operator's transitions, however wrong it is and in whatever batches they arrive, unless
the clock was corrected in between (`BoxTransition.is_later`). The transitions of two operators are
ordered by effective time (§3.6), because their clocks are independent.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import reduce
from typing import Final, TypeVar
from uuid import UUID

from contracts.ingest import ItemRemoved, ScanRecorded

CARRY: Final = 7
"""Days for which an open box waits for its closing: over a night, a weekend, a holiday. After that
the same label is another box."""

BACKLOG: Final = timedelta(seconds=90)
"""How late a scan may arrive that was made before a scan of a clock that is ahead: the minute in
which a clock is accepted (§3.6), and half a minute in which a PWA sends its batches (§4)."""

AUDIT: Final = frozenset({"REMOVE", "BULK_REMOVE"})
"""The kinds of audits. They have a box's label, but do not change the box."""

_Known = TypeVar("_Known")
_DIGITS: Final = re.compile(r"0*([0-9]+)")


class BoxAction(StrEnum):
    """The kinds of scan that open or close a box."""

    BOX = "BOX"
    CLOSE = "CLOSE"
    AUTO_CLOSE = "AUTO_CLOSE"


_ACTIONS: Final = frozenset(BoxAction)


@dataclass(frozen=True, slots=True)
class BoxTransition:
    """A box was opened or closed. `at` is the effective time, `scanned_at` the device's clock."""

    at: datetime
    received_at: datetime
    scan_id: UUID
    action: BoxAction
    scanned_at: datetime

    def on_device(self) -> tuple[datetime, datetime, UUID]:
        """The sort key for transitions of one operator."""
        return self.scanned_at, self.received_at, self.scan_id

    def is_later(self, ahead: "BoxTransition") -> bool:
        """Whether this transition was made after `ahead`, which the same operator's device made
        while its clock was ahead.

        The device's clock decides. If it shows an earlier time, this transition was waiting to be
        sent, unless the clock was corrected in between: then its time is more than `BACKLOG` after
        `ahead` was received.
        """
        return self.scanned_at >= ahead.scanned_at or self.at > ahead.received_at + BACKLOG


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxStatus:
    """A box is open while `closed_at` is None; `closed_by` is CLOSE or AUTO_CLOSE.

    An open box without `opened_at` has items, but its opening was not scanned.
    """

    opened_at: datetime | None = None
    closed_at: datetime | None = None
    closed_by: BoxAction | None = None

    @property
    def is_open(self) -> bool:
        """Whether the box was not closed."""
        return self.closed_at is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """A box on one day: live items, first and last scan, first and last transition.

    `+` adds tallies of one operator. Transitions of a clock that was ahead have own fields, since
    their order may follow only from all of them.

    `opened_at` is the last opening of the day. A removed item is not in `items`, but still in
    `first_at` and `last_at`.
    """

    items: int
    first_at: datetime
    last_at: datetime
    opened_at: datetime | None = None
    first_timely: BoxTransition | None = None
    last_timely: BoxTransition | None = None
    first_ahead: BoxTransition | None = None
    last_ahead: BoxTransition | None = None

    @property
    def first(self) -> BoxTransition | None:
        """The first transition."""
        if self.first_timely is None or self.first_ahead is None:
            return self.first_timely or self.first_ahead
        late = self.first_timely.is_later(self.first_ahead)
        return self.first_ahead if late else self.first_timely

    @property
    def last(self) -> BoxTransition | None:
        """The last transition."""
        if self.last_timely is None or self.last_ahead is None:
            return self.last_timely or self.last_ahead
        return self.last_timely if self.last_timely.is_later(self.last_ahead) else self.last_ahead

    @property
    def begins(self) -> bool:
        """Whether the first transition opens the box, so it continues none of a day before."""
        return self.first is not None and self.first.action is BoxAction.BOX

    @property
    def ends(self) -> bool:
        """Whether the last transition closes the box."""
        return self.last is not None and self.last.action is not BoxAction.BOX

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            items=self.items + other.items,
            first_at=min(self.first_at, other.first_at),
            last_at=max(self.last_at, other.last_at),
            opened_at=max(_known(self.opened_at, other.opened_at), default=None),
            first_timely=_first(self.first_timely, other.first_timely),
            last_timely=_last(self.last_timely, other.last_timely),
            first_ahead=_first(self.first_ahead, other.first_ahead),
            last_ahead=_last(self.last_ahead, other.last_ahead),
        )


def box_scan(event: object) -> ScanRecorded | None:
    """The scan of an event that concerns a box: it has a label and is no audit. Else None."""
    scan = event.scan if isinstance(event, ItemRemoved) else event
    if not isinstance(scan, ScanRecorded):
        return None
    return scan if scan.box and scan.kind not in AUDIT else None


def tally_event(event: ScanRecorded | ItemRemoved) -> Tally | None:
    """What an event adds to its box; None if it concerns no box."""
    scan = box_scan(event)
    if scan is None:
        return None
    at = scan.effective_at
    if isinstance(event, ItemRemoved):
        return Tally(items=-1, first_at=at, last_at=at)
    if scan.kind not in _ACTIONS:
        return Tally(items=int(scan.kind == "ITEM"), first_at=at, last_at=at)
    transition = BoxTransition(
        at, scan.received_at, scan.scan_id, BoxAction(scan.kind), scan.scanned_at
    )
    return Tally(
        items=0,
        first_at=at,
        last_at=at,
        opened_at=at if transition.action is BoxAction.BOX else None,
        first_timely=None if scan.skewed else transition,
        last_timely=None if scan.skewed else transition,
        first_ahead=transition if scan.skewed else None,
        last_ahead=transition if scan.skewed else None,
    )


def tally_events(events: Sequence[ScanRecorded | ItemRemoved]) -> Tally:
    """The sum of `tally_event` over the events, at least one, of one operator and one box.

    Most events only count an item; those are summed without a tally of their own.
    """
    items, moments, transitions = 0, [], list[Tally]()
    for event in events:
        if isinstance(event, ItemRemoved):
            items -= 1
            moments.append(event.scan.effective_at)
        elif event.kind in _ACTIONS:
            transitions.append(_known(tally_event(event))[0])
        else:
            items += event.kind == "ITEM"
            moments.append(event.effective_at)
    if moments:
        transitions.append(Tally(items=items, first_at=min(moments), last_at=max(moments)))
    return reduce(Tally.__add__, transitions)


def evolve(status: BoxStatus, transition: BoxTransition) -> BoxStatus:
    """The rule of §3.5: BOX opens the box or opens it again, CLOSE and AUTO_CLOSE close it.

    A second closing moves the time of closing. A closing with an effective time before its opening
    (its clock was ahead) counts at the time of the opening.
    """
    match transition.action:
        case BoxAction.BOX:
            return BoxStatus(opened_at=transition.at)
        case BoxAction.CLOSE | BoxAction.AUTO_CLOSE:
            closed_at = max(_known(transition.at, status.opened_at))
            return replace(status, closed_at=closed_at, closed_by=transition.action)


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxHistory:
    """The tally of a box on one day, and those of its label on the days around it, earliest first.

    The caller ensures that no day is further away than `CARRY`.
    """

    before: tuple[Tally, ...] = ()
    day: Tally
    after: tuple[Tally, ...] = ()


def box_status(history: BoxHistory) -> tuple[BoxStatus, bool]:
    """The final status of the day's box, and whether it continues a box of a day before.

    A day that does not begin with BOX continues the box of the day before, if that is open. A box
    that is open at the end of the day is closed by the next transition of its label, unless that
    opens another box.
    """
    carried: BoxStatus | None = None
    for day in history.before:
        carried = _next_day(carried, day)
    status = _next_day(carried, history.day)
    if status.is_open:
        transition = next((day.first for day in history.after if day.first is not None), None)
        if transition is not None and transition.action is not BoxAction.BOX:
            status = evolve(status, transition)
    return status, _continues(carried, history.day)


def number(label: str) -> str:
    """The part of a label behind its first slash, or the whole label (§2.7)."""
    return label.partition("/")[2] if "/" in label else label


def number_key(label: str) -> str:
    """A text whose bytes sort as people sort numbers: 8, 10, 10a, 10b."""
    return _DIGITS.sub(lambda digits: f"{len(digits[1]):03}{digits[1]}", number(label))


def _next_day(carried: BoxStatus | None, day: Tally) -> BoxStatus:
    begun = carried if carried is not None and _continues(carried, day) else BoxStatus()
    opened_at = day.opened_at or begun.opened_at
    status = BoxStatus(opened_at=opened_at)
    return evolve(status, day.last) if day.last is not None and day.ends else status


def _continues(carried: BoxStatus | None, day: Tally) -> bool:
    return carried is not None and carried.is_open and not day.begins


def _first(*transitions: BoxTransition | None) -> BoxTransition | None:
    return min(_known(*transitions), key=BoxTransition.on_device, default=None)


def _last(*transitions: BoxTransition | None) -> BoxTransition | None:
    return max(_known(*transitions), key=BoxTransition.on_device, default=None)


def _known(*values: _Known | None) -> list[_Known]:
    return [value for value in values if value is not None]
