"""A box: what it is called, what was put into it on a day, whether it is open or closed.

Everything known of a box on one day is a `Tally`. Tallies of one operator add up in any order and
grouping, and still say what the events would have said one by one; those of several operators are
joined `together` at the end.

Which of two transitions came first (§3.5): of one operator, whose scans come from one device, the
one that the device's clock has first. That holds however wrong the clock is, and in whatever
batches the scans arrive, unless the clock was put right in between (`BoxTransition.is_later`). Of
two operators the one that counts as earlier (§3.6), because their clocks have nothing in common.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import reduce
from typing import Final, TypeVar
from uuid import UUID

from contracts.ingest import ItemRemoved, ScanRecorded

CARRY: Final = 7
"""For how many days an open box waits for its closing: over a night, a weekend, a holiday. Later
than that, the same label is another box."""

BACKLOG: Final = timedelta(seconds=90)
"""For how long after a scan whose clock was ahead another that seems earlier may only have been
waiting to be sent: the minute in which a clock is believed (§3.6), and half a minute in which a PWA
sends what it has, in batches by random ids (§4)."""

AUDIT: Final = frozenset({"REMOVE", "BULK_REMOVE"})
"""What a dashboard wrote about items. It carries a label, but nothing happened in the box."""

_Known = TypeVar("_Known")
_DIGITS: Final = re.compile(r"0*([0-9]+)")


class BoxAction(StrEnum):
    """The kinds of scan that open or close a box. All others leave it as it stands."""

    BOX = "BOX"
    CLOSE = "CLOSE"
    AUTO_CLOSE = "AUTO_CLOSE"


_ACTIONS: Final = frozenset(BoxAction)


@dataclass(frozen=True, slots=True)
class BoxTransition:
    """A box was opened or closed: `at` is the time that counts, `scanned_at` the device's clock."""

    at: datetime
    received_at: datetime
    scan_id: UUID
    action: BoxAction
    scanned_at: datetime

    def on_device(self) -> tuple[datetime, datetime, UUID]:
        """Sorts the transitions of one operator."""
        return self.scanned_at, self.received_at, self.scan_id

    def as_counted(self) -> tuple[datetime, datetime, datetime, UUID]:
        """Sorts the transitions of several operators."""
        return self.at, self.received_at, self.scanned_at, self.scan_id

    def is_later(self, ahead: "BoxTransition") -> bool:
        """Whether this transition came behind one whose clock was ahead, of the same operator.

        The device's clock says so. If it says the opposite it may have been waiting to be sent,
        or the clock was put right in between: then it now shows a time that was still to come when
        the other arrived, and more than `BACKLOG` later.
        """
        return self.scanned_at >= ahead.scanned_at or self.at > ahead.received_at + BACKLOG


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxStatus:
    """Whether a box is open. Without a `closed_at` it is; `closed_by` is CLOSE or AUTO_CLOSE.

    An open box without an `opened_at` has items, but its opening was not scanned.
    """

    opened_at: datetime | None = None
    closed_at: datetime | None = None
    closed_by: BoxAction | None = None

    @property
    def is_open(self) -> bool:
        """Whether items are still expected."""
        return self.closed_at is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """A box on one day: live items, first and last sign of life, first and last transition.

    Adding joins what one operator did; see `together` for several. Transitions by a clock that was
    ahead are kept apart from the others, for which came first may follow only from all of them.

    `opened_at` is the last opening of the day. A removed item counts no longer, but that it was
    scanned remains a sign of life.
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
        """Whether opening the box came before closing it: no other day's box goes on in it."""
        return self.first is not None and self.first.action is BoxAction.BOX

    @property
    def ends(self) -> bool:
        """Whether the box was closed that day and not opened again."""
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


def together(tallies: Iterable[Tally]) -> Tally:
    """What several operators did in one box on one day, from the tally of each.

    Raises `ValueError` if there is none.
    """
    all_ = list(tallies)
    firsts = _known(*(one.first for one in all_))
    lasts = _known(*(one.last for one in all_))
    return Tally(
        items=sum(one.items for one in all_),
        first_at=min(one.first_at for one in all_),
        last_at=max(one.last_at for one in all_),
        opened_at=max(_known(*(one.opened_at for one in all_)), default=None),
        first_timely=min(firsts, key=BoxTransition.as_counted, default=None),
        last_timely=max(lasts, key=BoxTransition.as_counted, default=None),
    )


def boxed(event: object) -> ScanRecorded | None:
    """The scan an event is about, if it is about a box: it has a label and is no audit."""
    if isinstance(event, ScanRecorded):
        scan = event
    elif isinstance(event, ItemRemoved):
        scan = event.scan
    else:
        return None
    return scan if scan.box and scan.kind not in AUDIT else None


def tally(event: ScanRecorded | ItemRemoved) -> Tally | None:
    """What one event adds to its box; None if it is not about a box."""
    scan = boxed(event)
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


def tally_of(events: Sequence[ScanRecorded | ItemRemoved]) -> Tally:
    """The sum of `tally` over events, at least one, all of one operator and one box.

    Most of them only count an item, so no tally is made for these.
    """
    items, moments, transitions = 0, [], list[Tally]()
    for event in events:
        if isinstance(event, ItemRemoved):
            items -= 1
            moments.append(event.scan.effective_at)
        elif event.kind in _ACTIONS:
            transitions.append(_known(tally(event))[0])
        else:
            items += event.kind == "ITEM"
            moments.append(event.effective_at)
    if moments:
        transitions.append(Tally(items=items, first_at=min(moments), last_at=max(moments)))
    return reduce(Tally.__add__, transitions)


def evolve(status: BoxStatus, transition: BoxTransition) -> BoxStatus:
    """The rule of §3.5: BOX opens, or opens again; CLOSE and AUTO_CLOSE close. The last one says.

    So a second closing moves the time of closing: a box that is closed again was in hand. A
    closing that arrived in an earlier batch than its opening, from a clock that was ahead, counts
    with the opening.
    """
    match transition.action:
        case BoxAction.BOX:
            return BoxStatus(opened_at=transition.at)
        case BoxAction.CLOSE | BoxAction.AUTO_CLOSE:
            closed_at = max(_known(transition.at, status.opened_at))
            return replace(status, closed_at=closed_at, closed_by=transition.action)


@dataclass(frozen=True, kw_only=True, slots=True)
class Around:
    """A box of one day, and what is known of its label on days around it, earliest first.

    No day may be further away than `CARRY`; the caller ensures it.
    """

    before: tuple[Tally, ...] = ()
    day: Tally
    after: tuple[Tally, ...] = ()


def box_status(around: Around) -> tuple[BoxStatus, bool]:
    """How the day's box stands in the end, and whether it was brought along from a day before.

    A day that does not begin with BOX goes on with the box of the day before, if that was still
    open. A box that is still open at the end of the day is closed by the next transition of its
    label, unless that opens another box.
    """
    carried: BoxStatus | None = None
    for day in around.before:
        carried = _next_day(carried, day)
    found = _next_day(carried, around.day)
    if found.is_open:
        transition = next((day.first for day in around.after if day.first is not None), None)
        if transition is not None and transition.action is not BoxAction.BOX:
            found = evolve(found, transition)
    return found, _goes_on(carried, around.day)


def number(label: str) -> str:
    """What stands behind the first slash of a label, or all of it if there is none (§2.7)."""
    return label.partition("/")[2] if "/" in label else label


def number_key(label: str) -> str:
    """A text that sorts, byte by byte, as people sort numbers: 8, 10, 10a, 10b."""
    return _DIGITS.sub(lambda digits: f"{len(digits[1]):03}{digits[1]}", number(label))


def _next_day(carried: BoxStatus | None, day: Tally) -> BoxStatus:
    begun = carried if carried is not None and _goes_on(carried, day) else BoxStatus()
    opened_at = day.opened_at or begun.opened_at
    found = BoxStatus(opened_at=opened_at)
    return evolve(found, day.last) if day.last is not None and day.ends else found


def _goes_on(carried: BoxStatus | None, day: Tally) -> bool:
    return carried is not None and carried.is_open and not day.begins


def _first(*transitions: BoxTransition | None) -> BoxTransition | None:
    return min(_known(*transitions), key=BoxTransition.on_device, default=None)


def _last(*transitions: BoxTransition | None) -> BoxTransition | None:
    return max(_known(*transitions), key=BoxTransition.on_device, default=None)


def _known(*values: _Known | None) -> list[_Known]:
    return [value for value in values if value is not None]
