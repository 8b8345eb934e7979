"""The responses of the API, field by field as its clients know them.

Fields that were added later are the last of each response; clients may ignore them.
"""

from typing import Any

import msgspec
from fastapi import Response


class Batch(msgspec.Struct):
    """The result of a batch; `inserted`, `skipped` and the errors add up to its length."""

    ok: bool
    inserted: int
    skipped: int
    duplicates: tuple[str, ...]
    errors: tuple[str, ...]


class Verified(msgspec.Struct):
    """The uuids of the request that are stored."""

    ok: bool
    present: list[str]


class Operator(msgspec.Struct, rename="camel"):
    """An operator on the days of the query, which "today" in the names stands for."""

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
    """A client on the days of the query."""

    client: str
    items: int
    boxes_open: int
    boxes_close: int
    errors: int
    auto_closes: int
    removed: int


class FeedRow(msgspec.Struct, rename="camel"):
    """A scan in the feed; all of the old fields are texts."""

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
    """The sums over the days of the query."""

    items: int
    opens: int
    closes: int
    errors: int
    auto_closes: int
    removed: int


class Filters(msgspec.Struct):
    """The query parameters as they were written."""

    date: str | None
    date_end: str | None
    operator: str | None
    client: str | None
    city: str | None


class State(msgspec.Struct, rename="camel"):
    """The state of the dashboard."""

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
    """A scan in full. `ts` is the effective time, `device_ts_ms` the device's clock."""

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
    """The result of a removal."""

    ok: bool
    message: str
    removed_count: int


class Deletion(msgspec.Struct, rename={"deleted_at_ms": "deletedAtMs"}):
    """A removed item."""

    id: str
    event_uuid: str
    deleted_by: str
    deleted_at: str
    event_data: LogRow
    reason: str
    removal_id: str
    deleted_at_ms: int


class Deletions(msgspec.Struct):
    """A page of removed items, and their number on all pages."""

    deletions: list[Deletion]
    total: int


class Raw(msgspec.Struct):
    """A page of scans, and their number on all pages."""

    logs: list[LogRow]
    total: int


_encode = msgspec.json.Encoder().encode


def json_response(body: Any, headers: dict[str, str] | None = None) -> Response:
    """`body` as a JSON response."""
    return Response(_encode(body), media_type="application/json", headers=headers)
