"""One person's working day: which texts they scan, in which rhythm, with which mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from deploy.demo.pwa import Handheld, HandheldEvent, auto_close_at, auto_closed, scanned

MINUTE: Final = 60.0
HOUR: Final = 3600.0
LEAVING_SECONDS: Final = 10 * MINUTE
"""Nobody opens a new box so shortly before the end."""

CYRILLIC_SCANS: Final = ("ИВАНЦОВ/8", "накладная 14", "Ёлка")
ODD_CODES: Final = ("яблоко".encode().hex(), "ÄÖÜ-ß-0042", "商品-77", "apple 🍎 1kg", "é" * 3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """An event of the day, `at` seconds after its beginning."""

    at: float
    event: HandheldEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class Habits:
    """What is particular about a person. `forgets_a_box`: they go to lunch and leave one open;
    `stays_open`: they go home without closing their last box."""

    clients: Sequence[str]
    cities: Sequence[str]
    forgets_a_box: bool
    stays_open: bool


class Shift:
    """The day so far: the time, the device's state, and the events that came of it."""

    def __init__(self, rng: Random, *, seconds: float) -> None:
        self.rng = rng
        self.at = 0.0
        self.handheld = Handheld()
        self.moments: list[Moment] = []
        self._seconds = seconds

    @property
    def ending(self) -> bool:
        """It is time to finish."""
        return self.at >= self._seconds - LEAVING_SECONDS

    def pause(self, least: float, most: float) -> None:
        """Let some seconds pass; a box open for too long closes by itself meanwhile."""
        self.at = min(self.at + self.rng.uniform(least, most), self._seconds)
        due = auto_close_at(self.handheld)
        if due is not None and due <= self.at:
            before = self.handheld
            self.handheld, event = auto_closed(before)
            self.moments.append(Moment(at=due, event=event))
            if due + MINUTE <= self.at and self.rng.random() < 0.5:
                # A reload revives the box, and the next minute closes it again (spec §4).
                self.moments.append(Moment(at=due + MINUTE, event=auto_closed(before)[1]))

    def scan(self, text: str) -> None:
        """Scan something now."""
        self.handheld, event = scanned(self.handheld, text, at=self.at)
        self.moments.append(Moment(at=self.at, event=event))


def work(rng: Random, habits: Habits, *, seconds: float) -> list[Moment]:
    """The events of a whole shift in the order of their time, none after `seconds`."""
    shift, number = Shift(rng, seconds=seconds), rng.randint(1, 400)
    shift.pause(0, 8 * MINUTE)
    _begin(shift, habits)
    lunch_at = seconds * rng.uniform(0.4, 0.5)
    while not shift.ending:
        had_lunch = lunch_at == float("inf")
        if not had_lunch and shift.at >= lunch_at:
            _lunch(shift, habits, number)
            lunch_at = float("inf")
        number += 1
        _fill(shift, f"{rng.choice(habits.clients)}/{number}")
        _slip_between_boxes(shift, habits)
    _end(shift, habits, number + 1)
    return shift.moments


def _begin(shift: Shift, habits: Habits) -> None:
    if shift.rng.random() < 0.5:
        shift.scan(f"BOX:{habits.clients[0]}/1")  # NO_CITY: they forgot where they are
        shift.pause(3, 15)
    shift.scan(f"CITY:{shift.rng.choice(habits.cities)}")
    shift.pause(5, 60)


def _fill(shift: Shift, label: str) -> None:
    rng = shift.rng
    shift.scan(f"BOX:{label}")
    code = _barcode(rng)
    for _ in range(rng.randint(6, 26)):
        if not shift.handheld.box:
            return
        shift.pause(8, 75)
        # Equal barcodes in one box are separate units, often scanned in a row.
        code = code if rng.random() < 0.3 else _barcode(rng)
        shift.scan(code)
        _slip_at_a_box(shift)
        if shift.ending:
            break
    shift.pause(5, 40)
    if shift.handheld.box:
        shift.scan(f"BOX:{label}")
    shift.pause(20, 150)


def _slip_at_a_box(shift: Shift) -> None:
    rng, box = shift.rng, shift.handheld.box
    if rng.random() < 0.02:
        shift.pause(2, 6)
        wrong = (rng.choice(CYRILLIC_SCANS), f"BOX:{box}0", "CITY:CLOSE", "CITY:Nowhere")
        shift.scan(rng.choice(wrong))


def _slip_between_boxes(shift: Shift, habits: Habits) -> None:
    rng = shift.rng
    if rng.random() < 0.15:
        shift.scan(_barcode(rng))  # NO_BOX: the barcode itself is lost
        shift.pause(5, 20)
    if rng.random() < 0.06 and not shift.handheld.box:
        shift.scan("CITY:CLOSE")
        shift.pause(60, 300)
        shift.scan(f"city:{rng.choice(habits.cities)}")
        shift.pause(5, 30)


def _lunch(shift: Shift, habits: Habits, number: int) -> None:
    if habits.forgets_a_box:
        shift.scan(f"BOX:{habits.clients[0]}/{number}-lunch")
        shift.pause(10, 30)
        shift.scan(_barcode(shift.rng))
        shift.pause(1.1 * HOUR, 1.2 * HOUR)
    else:
        shift.pause(30 * MINUTE, 45 * MINUTE)


def _end(shift: Shift, habits: Habits, number: int) -> None:
    if habits.stays_open:
        shift.scan(f"BOX:{habits.clients[-1]}/{number}")
        shift.pause(5, 30)
        shift.scan(_barcode(shift.rng))
    else:
        shift.scan("CITY:CLOSE")


def _barcode(rng: Random) -> str:
    if rng.random() < 0.01:
        return rng.choice(ODD_CODES)
    return f"20{rng.randrange(10**11):011}"
