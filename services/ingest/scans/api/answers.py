"""The answers of the scan logger's API, field by field as its clients know them.

What is new stands last in each and may be ignored.
"""

from typing import Any

import msgspec
from fastapi import Response


class Batch(msgspec.Struct):
    """What became of a batch; `inserted`, `skipped` and the errors add up to its length."""

    ok: bool
    inserted: int
    skipped: int
    duplicates: tuple[str, ...]
    errors: tuple[str, ...]


class Verified(msgspec.Struct):
    """Which of the asked uuids are in safe keeping."""

    ok: bool
    present: list[str]


class Operator(msgspec.Struct, rename="camel"):
    """An operator within the window; "today" means in the window."""

    operator: str
    online: bool
    online_age_sec: int
    last_seen_ms: int
    last_client: str
    last_city: str
    last_box: str
    items_today: int
    errors_today: int
    last_seen_at: str


class Client(msgspec.Struct, rename="camel"):
    """A client within the window."""

    client: str
    items: int
    boxes_open: int
    boxes_close: int
    errors: int
    auto_closes: int
    removed: int


class FeedRow(msgspec.Struct, rename="camel"):
    """A scan as the feed shows it; all of the old fields are texts."""

    ts: str
    operator: str
    type: str
    client: str
    city: str
    box: str
    code: str
    uuid: str
    ts_ms: int
    details: str


class Summary(msgspec.Struct, rename="camel"):
    """Everything within the window."""

    items: int
    opens: int
    closes: int
    errors: int
    auto_closes: int
    removed: int


class Filters(msgspec.Struct):
    """What was asked, as it was written."""

    date: str | None
    date_end: str | None
    operator: str | None
    client: str | None
    city: str | None


class State(msgspec.Struct, rename="camel"):
    """The dashboard."""

    generated_at: str
    operators: list[Operator]
    clients: list[Client]
    feed: list[FeedRow]
    summary: Summary
    filters: Filters
    operators_list: list[str]
    clients_list: list[str]
    cities_list: list[str]


class LogRow(msgspec.Struct, rename="camel"):
    """A scan in full. `ts` is the time that counts, `device_ts_ms` what the device said."""

    uuid: str
    ts: str
    type: str
    operator: str
    client: str
    city: str
    box: str
    code: str
    details: str | None
    received_at: str
    source: str
    ts_ms: int
    received_at_ms: int
    device_ts_ms: int
    skewed: bool


class Removed(msgspec.Struct):
    """What became of a removal."""

    ok: bool
    message: str
    removed_count: int


class Deletion(msgspec.Struct, rename={"deleted_at_ms": "deletedAtMs"}):
    """A removed item, as it was."""

    id: str
    event_uuid: str
    deleted_by: str
    deleted_at: str
    event_data: LogRow
    reason: str
    removal_id: str
    deleted_at_ms: int


class Deletions(msgspec.Struct):
    """A page of them, and how many there are on all pages."""

    deletions: list[Deletion]
    total: int


class Raw(msgspec.Struct):
    """A page of scans, and how many there are on all pages."""

    logs: list[LogRow]
    total: int


_encode = msgspec.json.Encoder().encode


def answered(body: Any, headers: dict[str, str] | None = None) -> Response:
    """`body` as a JSON response."""
    return Response(_encode(body), media_type="application/json", headers=headers)
