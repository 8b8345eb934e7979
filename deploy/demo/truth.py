"""The oracle: what every dashboard must say about events that were acknowledged.

Written from the wire contract alone, and knows nothing of the services it judges.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from deploy.demo.mischief import Event

ZONE: Final = ZoneInfo("Europe/Moscow")
SKEW: Final = timedelta(seconds=60)
DASH: Final = "—"
EARLIEST_MS: Final = 946_684_800_000
"""The year 2000. A smaller `ts` counts seconds, or comes from a clock that was never set."""

_LONGEST: Final = {
    "type": 50, "operator": 100, "client": 100, "city": 100, "box": 100, "code": 500, "source": 50,
}  # fmt: skip
_TURNS: Final = {"BOX": "open", "CLOSE": "closed", "AUTO_CLOSE": "closed"}
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


Box: TypeAlias = tuple[str, str, str]
"""Client, city and label, as displayed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledged:
    """An event that was acknowledged: when it was sent first, and when the answer came."""

    event: Event
    sent_at: datetime
    acked_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """An accepted event. `days` are those it may count for: several only if nobody but the server
    can know, because midnight fell between sending and acknowledgement."""

    uuid: str
    kind: str
    operator: str
    client: str
    city: str
    box: str
    days: frozenset[date]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanFilter:
    """Days, both included, and filters; None lets everything pass."""

    first: date
    last: date
    operator: str | None = None
    client: str | None = None
    city: str | None = None

    def params(self) -> dict[str, str]:
        """As the query of a dashboard request."""
        filters = {"operator": self.operator, "client": self.client, "city": self.city}
        days = {"date": self.first.isoformat(), "date_end": self.last.isoformat()}
        return days | {name: text for name, text in filters.items() if text is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """The numbers of `dashboard/state`: per operator items and errors, per client items, boxes
    opened, boxes closed and errors."""

    summary: dict[str, int]
    operators: dict[str, tuple[int, int]]
    clients: dict[str, tuple[int, int, int, int]]
    operators_list: tuple[str, ...]
    clients_list: tuple[str, ...]
    cities_list: tuple[str, ...]


def is_fit(event: Event) -> bool:
    """Whether an event is stored; otherwise it is quarantined (spec §2.3, §8)."""
    texts = {name: event.get(name) or "" for name in (*_LONGEST, "details")}
    return (
        is_uuid(event["uuid"])
        and event["ts"] >= EARLIEST_MS
        and all(len(texts[name]) <= limit for name, limit in _LONGEST.items())
        and not any(
            letter == "\0" or "\ud800" <= letter <= "\udfff"
            for text in texts.values()
            for letter in text
        )
    )


def is_uuid(text: str) -> bool:
    """Whether it is spelled as one; any version, any case."""
    return bool(_UUID.fullmatch(text))


def rows(acknowledged: Iterable[Acknowledged]) -> list[Row]:
    """The accepted events, each once."""
    found: dict[str, Row] = {}
    for each in acknowledged:
        if is_fit(each.event):
            found.setdefault(each.event["uuid"].lower(), _row(each))
    return list(found.values())


def moment(event: Event) -> datetime:
    """The time by the device's clock."""
    return datetime.fromtimestamp(event["ts"] / 1000, UTC)


def day(instant: datetime) -> date:
    """The business day an instant falls on."""
    return instant.astimezone(ZONE).date()


def matching(rows: Iterable[Row], question: ScanFilter) -> list[Row]:
    """The rows that answer a question."""
    return [
        row
        for row in rows
        if any(question.first <= each <= question.last for each in row.days)
        and question.operator in {None, row.operator}
        and question.client in {None, row.client}
        and question.city in {None, row.city}
    ]


def state(rows: Iterable[Row], question: ScanFilter) -> State:
    """The numbers that `dashboard/state` must show (spec §2.6, §5)."""
    found = matching(rows, question)
    kinds = Counter(row.kind for row in found)
    by_operator = Counter((row.operator, row.kind) for row in found)
    by_client = Counter((row.client, row.kind) for row in found)
    operators = {row.operator for row in found}
    clients = {row.client for row in found}
    return State(
        summary={
            "items": kinds["ITEM"],
            "opens": kinds["BOX"],
            "closes": kinds["CLOSE"],
            "errors": kinds["ERROR"],
        },
        operators={o or DASH: (by_operator[o, "ITEM"], by_operator[o, "ERROR"]) for o in operators},
        clients={
            c or DASH: (
                by_client[c, "ITEM"],
                by_client[c, "BOX"],
                by_client[c, "CLOSE"],
                by_client[c, "ERROR"],
            )
            for c in clients
        },
        operators_list=_names(operators),
        clients_list=_names(clients),
        cities_list=_names({row.city for row in found}),
    )


def kinds(rows: Iterable[Row], question: ScanFilter) -> Counter[str]:
    """How many rows of each type `dashboard/raw` must count."""
    return Counter(row.kind for row in matching(rows, question))


def last_seen(acknowledged: Sequence[Acknowledged]) -> dict[str, tuple[str, str, str]]:
    """Client, city and box of the event that arrived last, by operator.

    Left out is who had events under way together at the end: only the server knows their order.
    """
    found: dict[str, tuple[str, str, str]] = {}
    for operator in {each.event["operator"] for each in acknowledged}:
        own = sorted(
            (
                each
                for each in acknowledged
                if each.event["operator"] == operator and is_fit(each.event)
            ),
            key=lambda each: each.sent_at,
        )
        if own and all(other.acked_at <= own[-1].sent_at for other in own[:-1]):
            event = own[-1].event
            found[operator or DASH] = _display_names(event["client"], event["city"], event["box"])
    return found


def boxes(acknowledged: Iterable[Acknowledged]) -> dict[str, dict[Box, str]]:
    """By operator the boxes that only they worked on, and only on one day: `open` or `closed`.

    As the device holds them (spec §3.5): its clock knows which of its scans came first, however
    wrong it is.
    """
    last: dict[Box, tuple[int, str]] = {}
    workers: dict[Box, set[str]] = {}
    days: dict[Box, set[date]] = {}
    for each in acknowledged:
        row = _row(each)
        if not row.box or not is_fit(each.event):
            continue
        box = _display_names(row.client, row.city, row.box)
        workers.setdefault(box, set()).add(row.operator)
        days.setdefault(box, set()).update(row.days)
        if row.kind in _TURNS:
            last[box] = max((each.event["ts"], _TURNS[row.kind]), last.get(box, (0, "")))
    found: dict[str, dict[Box, str]] = {}
    for box, (_, status) in last.items():
        if len(workers[box]) == len(days[box]) == 1:
            (operator,) = workers[box]
            found.setdefault(operator, {})[box] = status
    return found


def _display_names(client: str, city: str, box: str) -> tuple[str, str, str]:
    return client or DASH, city or DASH, box or DASH


def _row(acknowledged: Acknowledged) -> Row:
    event = acknowledged.event
    return Row(
        uuid=event["uuid"].lower(),
        kind=event["type"],
        operator=event["operator"],
        client=event["client"] or "",
        city=event["city"] or "",
        box=event["box"] or "",
        days=_days(moment(event), acknowledged.sent_at, acknowledged.acked_at),
    )


def _days(scanned_at: datetime, sent_at: datetime, acked_at: datetime) -> frozenset[date]:
    """A clock more than a minute ahead counts as the time of arrival (spec §3.6)."""
    possible = set()
    if scanned_at <= acked_at + SKEW:
        possible.add(day(scanned_at))
    if scanned_at > sent_at + SKEW:
        possible |= {day(sent_at), day(acked_at)}
    return frozenset(possible)


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if name))


def read_state(body: Any) -> State:
    """The same numbers out of an answer. Raises KeyError and TypeError if it is none."""
    return State(
        summary={name: body["summary"][name] for name in ("items", "opens", "closes", "errors")},
        operators={
            each["operator"]: (each["itemsToday"], each["errorsToday"])
            for each in body["operators"]
        },
        clients={
            each["client"]: (
                each["items"],
                each["boxesOpen"],
                each["boxesClose"],
                each["errors"],
            )
            for each in body["clients"]
        },
        operators_list=tuple(body["operatorsList"]),
        clients_list=tuple(body["clientsList"]),
        cities_list=tuple(body["citiesList"]),
    )
