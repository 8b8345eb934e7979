"""Totals of the dashboards, of which only the growth is compared, as earlier days may be stored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Protocol, TypeAlias

from deploy.demo import truth
from deploy.demo.mischief import Event
from deploy.demo.truth import Acknowledged, ScanFilter, State

Sums: TypeAlias = Mapping[str, Mapping[str, int]]
"""By what they are sums of."""


class Ask(Protocol):
    """What is needed of `dashboard.Dashboard`."""

    async def state(self, question: ScanFilter) -> State:
        """The numbers of `dashboard/state`."""
        ...

    async def lasts(self, question: ScanFilter) -> dict[str, tuple[str, str, str]]:
        """Last client, city and box by operator."""
        ...

    async def boxes(self, question: ScanFilter) -> dict[truth.Box, str]:
        """Whether each box is open or closed."""
        ...

    async def rows(self, question: ScanFilter) -> list[dict[str, Any]]:
        """Every row of `dashboard/raw`."""
        ...

    async def total(self, question: ScanFilter, kind: str | None = None) -> int:
        """How many rows of a type match."""
        ...

    async def quarantined(self) -> int:
        """How many events are in quarantine."""
        ...

    async def present(self, uuids: Sequence[str]) -> int:
        """How many of the ids are in safe keeping."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What a day touches: its business days, cities and types of events."""

    first: date
    last: date
    cities: tuple[str, ...]
    kinds: tuple[str, ...]

    def whole(
        self, *, operator: str | None = None, client: str | None = None, city: str | None = None
    ) -> ScanFilter:
        """All its days."""
        return ScanFilter(
            first=self.first, last=self.last, operator=operator, client=client, city=city
        )


def scope_of(events: Iterable[Event], *, today: date) -> Scope:
    """The scope of these events if they arrive from `today` on: a clock that is ahead counts
    for the day of arrival, but never for a later one than it says itself."""
    fit = [event for event in events if truth.is_fit(event)]
    days = {truth.day(truth.moment(event)) for event in fit} | {today}
    return Scope(
        first=min(days),
        last=max(days),
        cities=tuple(sorted({event["city"] for event in fit if event["city"]})),
        kinds=tuple(sorted({event["type"] for event in fit})),
    )


async def displayed(ask: Ask, scope: Scope) -> Sums:
    """What the dashboards say."""
    found: dict[str, Mapping[str, int]] = {}
    for name, question in _questions(scope).items():
        found[name] = (await ask.state(question)).summary
    for kind in scope.kinds:
        found[f"{kind} rows"] = {"total": await ask.total(scope.whole(), kind)}
    found["all rows"] = {"total": await ask.total(scope.whole())}
    return found | {"quarantine": {"events": await ask.quarantined()}}


def sent(acknowledged: Sequence[Acknowledged], scope: Scope) -> Sums:
    """What that must have grown by."""
    rows = truth.rows(acknowledged)
    kinds = truth.kinds(rows, scope.whole())
    found: dict[str, Mapping[str, int]] = {}
    for name, question in _questions(scope).items():
        found[name] = truth.state(rows, question).summary
    for kind in scope.kinds:
        found[f"{kind} rows"] = {"total": kinds[kind]}
    found["all rows"] = {"total": kinds.total()}
    unfit = {each.event["uuid"] for each in acknowledged if not truth.is_fit(each.event)}
    return found | {"quarantine": {"events": len(unfit)}}


def growth(before: Sums, after: Sums) -> Sums:
    """`after` less `before`."""
    return {
        name: {each: count - before[name][each] for each, count in counts.items()}
        for name, counts in after.items()
    }


def _questions(scope: Scope) -> dict[str, ScanFilter]:
    days = [scope.first + timedelta(days=n) for n in range((scope.last - scope.first).days + 1)]
    return (
        {"everything": scope.whole()}
        | {f"day {day}": ScanFilter(first=day, last=day) for day in days}
        | {f"city {city}": scope.whole(city=city) for city in scope.cities}
    )
