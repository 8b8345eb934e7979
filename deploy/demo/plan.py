"""The whole simulated day, decided before it begins: people, scans, clocks and bad weather.

A plan follows from the seed, the number of people and the moment the day ends, from nothing else.
The seed decides what happens, the moment decides names and ids, so that days never mix.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Final
from uuid import UUID

from deploy.demo.mischief import PRANKS, Event
from deploy.demo.shift import HOUR, MINUTE, Habits, Moment, work

DAY_SECONDS: Final = 9 * HOUR
PEOPLE: Final = ("anna", "boris", "Зоя", "dmitri", "elena", "jürgen", "s07-ivan", "olga")
CLIENTS: Final = ("ivancov", "petrov", "müller", "florist", "o'neill")
CITIES: Final = ("Novosem", "Koledino", "Tula", "Saint Petersburg")

AHEAD_SECONDS: Final = 20 * MINUTE
AHEAD_DRIFT_SECONDS: Final = 10 * MINUTE
BEHIND_SECONDS: Final = 5 * HOUR


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """An event that comes up `at` seconds after the beginning; `key` orders it in the outbox."""

    at: float
    key: str
    event: Event


@dataclass(frozen=True, kw_only=True, slots=True)
class Weather:
    """What the network and the person do to the sending.

    `offline` are stretches of seconds without network. `lost` and `doubled` are the numbers,
    counted from 0, of the requests whose answer is lost and of those posted twice at once.
    `resends` are the seconds at which the person has everything sent again.
    """

    offline: tuple[tuple[float, float], ...] = ()
    lost: frozenset[int] = frozenset()
    doubled: frozenset[int] = frozenset()
    resends: tuple[float, ...] = ()

    def is_offline(self, at: float) -> bool:
        """Whether there is no network `at` that second."""
        return any(begin <= at < end for begin, end in self.offline)


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """One person's device. The last scan is to be sent after all others have arrived."""

    operator: str
    scans: tuple[Scan, ...]
    weather: Weather


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The day. `tag` is part of every operator's and client's name."""

    seed: int
    tag: str
    ends_at: datetime
    seconds: float
    devices: tuple[Device, ...]

    def events(self) -> Iterator[Event]:
        """Every event once, device by device."""
        for device in self.devices:
            for scan in device.scans:
                yield scan.event


def plan_day(
    seed: int, *, ends_at: datetime, operators: int = 8, seconds: float = DAY_SECONDS
) -> Plan:
    """The day of that seed which ends at that moment (aware)."""
    source = f"{seed} {operators} {ends_at.timestamp()}".encode()
    tag = hashlib.sha256(source).hexdigest()[:6]
    ends_ms = int(ends_at.timestamp() * 1000)
    devices = tuple(
        _device(seed, n, tag=tag, ends_ms=ends_ms, seconds=seconds) for n in range(operators)
    )
    return Plan(seed=seed, tag=tag, ends_at=ends_at, seconds=seconds, devices=devices)


def _device(seed: int, n: int, *, tag: str, ends_ms: int, seconds: float) -> Device:
    rng, ids = _chance(f"{seed} {n}"), _chance(f"{tag} {n}")
    person = PEOPLE[n % len(PEOPLE)] + (str(n // len(PEOPLE) + 1) if n >= len(PEOPLE) else "")
    habits = Habits(
        clients=[f"{name}-{tag}" for name in rng.sample(CLIENTS, 3)],
        cities=rng.sample(CITIES, 2),
        forgets_a_box=n % 3 == 0,
        stays_open=n % 2 == 1,
    )
    moments = sorted(work(rng, habits, seconds=seconds), key=lambda moment: moment.at)
    operator = f"{person}-{tag}"
    scans = [
        _scan(
            moment,
            operator,
            UUID(int=ids.getrandbits(128), version=4),
            _clock(n, moment.at, seconds=seconds, ends_ms=ends_ms),
        )
        for moment in moments
    ]
    if n % 4 == 0:
        scans = _with_mischief(rng, ids, scans)
    return Device(operator=operator, scans=tuple(scans), weather=_weather(rng, n, seconds))


def _clock(n: int, at: float, *, seconds: float, ends_ms: int) -> int:
    """What the device's clock says, in Unix milliseconds.

    The day is replayed faster than it was and lies in the past, so a clock that runs ahead must be
    ahead of the end of the day to be ahead of the server's; it advances slowly to stay so.
    """
    if n % 8 == 2:
        return ends_ms + int((AHEAD_SECONDS + at / seconds * AHEAD_DRIFT_SECONDS) * 1000)
    behind = BEHIND_SECONDS if n % 8 == 5 else 0.0
    return ends_ms - int((seconds - at + behind) * 1000)


def _scan(moment: Moment, operator: str, uuid: UUID, ts: int) -> Scan:
    scanned = moment.event
    event: Event = {
        "uuid": str(uuid),
        "ts": ts,
        "type": scanned.type,
        "operator": operator,
        "client": scanned.client,
        "city": scanned.city,
        "box": scanned.box,
        "code": scanned.code,
        "details": scanned.details,
        "source": "pwa",
    }
    return Scan(at=moment.at, key=event["uuid"], event=event)


def _with_mischief(rng: Random, ids: Random, scans: list[Scan]) -> list[Scan]:
    """Every prank once, each beside an honest item, never as the last scan."""
    items = [scan for scan in scans[:-1] if scan.event["type"] == "ITEM"]
    pranks = []
    for prank, scan in zip(PRANKS.values(), rng.sample(items, len(PRANKS)), strict=True):
        key = str(UUID(int=ids.getrandbits(128), version=4))
        pranks.append(Scan(at=scan.at, key=key, event=prank(scan.event | {"uuid": key})))
    return [*sorted([*scans[:-1], *pranks], key=lambda scan: scan.at), scans[-1]]


def _weather(rng: Random, n: int, seconds: float) -> Weather:
    gaps = rng.randint(0, 2) if n % 4 != 3 else 3
    longest = 75 * MINUTE if n % 4 == 3 else 8 * MINUTE
    offline = []
    for _ in range(gaps):
        begin = rng.uniform(0.05, 0.8) * seconds
        offline.append((begin, begin + rng.uniform(0.5, 1.0) * longest))
    numbers = rng.sample(range(1, 24), 5)
    return Weather(
        offline=tuple(sorted(offline)),
        lost=frozenset(numbers[:3]),
        doubled=frozenset(numbers[3:]),
        resends=(rng.uniform(0.6, 0.9) * seconds,) if n % 4 == 1 else (),
    )


def _chance(text: str) -> Random:
    # Reproducible on purpose: nothing here is a secret.
    return Random(text)  # noqa: S311
