"""A gateway of one process and no memory of yesterday: the batch contract in a dictionary.

Written against the wire contract; `Faults` makes it fail, honestly or not.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from aiohttp import web

from libs.testing.servers import http_server

KEY = "a-key-for-tests-only"
ZONE = ZoneInfo("Europe/Moscow")
Row = dict[str, Any]
Answer = tuple[int, Row]
SUMS = {"items": "ITEM", "opens": "BOX", "closes": "CLOSE", "errors": "ERROR"}
COUNTS = {"items": "ITEM", "boxesOpen": "BOX", "boxesClose": "CLOSE", "errors": "ERROR"}


@dataclass(kw_only=True)
class Faults:
    """`failing` is how many of the requests fail, half of them after the commit. The others make
    the gateway a liar: one event vanishes, is stored twice, changes, or is counted wrongly, or what
    a device did is ordered by chance."""

    failing: float = 0.0
    loses: bool = False
    doubles: bool = False
    garbles: bool = False
    miscounts: bool = False
    shuffles: bool = False


@dataclass(kw_only=True)
class Store:
    faults: Faults = field(default_factory=Faults)
    rng: Random = field(default_factory=lambda: Random(1))
    rows: list[Row] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    quarantined: set[str] = field(default_factory=set)
    requests: int = 0
    largest: int = 0
    repeats: int = 0


def serving(store: Store) -> AbstractAsyncContextManager[str]:
    routes = (
        web.post("/api/v1/events/batch", partial(_batch, store)),
        web.post("/api/v1/events/verify", partial(_verify, store)),
        web.get("/api/v1/dashboard/state", partial(_state, store)),
        web.get("/api/v1/dashboard/raw", partial(_raw, store)),
        web.get("/api/v1/dashboard/boxes", partial(_boxes, store)),
        web.get("/api/v1/quarantine", partial(_quarantine, store)),
    )

    def refused(request: web.Request) -> Answer | None:
        known = request.headers.get("X-API-Key") == KEY
        return None if known else (401, {"detail": "Invalid or missing API key"})

    return json_server(routes, refused)


def json_server(
    routes: Iterable[web.RouteDef], refused: Callable[[web.Request], Answer | None]
) -> AbstractAsyncContextManager[str]:
    """What is not refused is answered by a handler: by a body, or a status and a body."""

    @web.middleware
    async def as_json(request: web.Request, handler: Any) -> web.StreamResponse:
        answer = refused(request) or await handler(request)
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return web.json_response(body, status=status)

    app = web.Application(middlewares=[as_json])
    app.add_routes(routes)
    return http_server(app)


async def _batch(store: Store, request: web.Request) -> Any:
    events = (await request.json())["events"]
    store.requests += 1
    store.largest = max(store.largest, len(events))
    await asyncio.sleep(0)
    failing = store.rng.random() < store.faults.failing
    if failing and store.rng.random() < 0.5:
        return 503, {"detail": "Temporarily unavailable"}
    answer = _record(store, events)
    return (504, {"detail": "too late"}) if failing else answer


def _record(store: Store, events: list[Row]) -> Row:
    received_at = datetime.now(UTC)
    inserted, duplicates, errors = 0, [], []
    for event in events:
        if (fault := _fault(event)) is not None:
            store.quarantined.add(event["uuid"])
            errors.append(fault)
        elif (uuid := str(UUID(event["uuid"]))) in store.seen:
            duplicates.append(uuid)
        else:
            store.seen.add(uuid)
            inserted += 1
            _keep(store, event | {"uuid": uuid}, received_at)
    store.repeats += len(duplicates)
    if store.faults.miscounts and len(store.seen) > 50 and duplicates:
        inserted += 1
    return {
        "ok": True,
        "inserted": inserted,
        "skipped": len(duplicates),
        "duplicates": duplicates,
        "errors": errors,
    }


def _keep(store: Store, event: Row, received_at: datetime) -> None:
    scanned_at = datetime.fromtimestamp(event["ts"] / 1000, UTC)
    ahead = scanned_at > received_at + timedelta(seconds=60)
    row = event | {"at": received_at if ahead else scanned_at, "received": received_at}
    strange = len(store.seen) == 100
    if strange and store.faults.garbles:
        row["code"] += "0"
    if not (strange and store.faults.loses):
        store.rows.append(row)
    if strange and store.faults.doubles:
        store.rows.append(row)


def _fault(event: Row) -> str | None:
    try:
        UUID(event["uuid"])
    except ValueError:
        return "uuid"
    if event["ts"] < 10**12:
        return "ts"
    code = event["code"]
    if len(code) > 500 or "\0" in code or any(0xD800 <= ord(letter) < 0xE000 for letter in code):
        return "code"
    return None


async def _verify(store: Store, request: web.Request) -> Any:
    asked = (await request.json())["uuids"]
    kept = {uuid for uuid in asked if uuid in store.quarantined or uuid.lower() in store.seen}
    return {"ok": True, "present": sorted(kept)}


async def _state(store: Store, request: web.Request) -> Any:
    rows = _asked(store, request)
    by: dict[str, Counter[tuple[str, str]]] = {
        name: Counter((row[name] or "—", row["type"]) for row in rows)
        for name in ("operator", "client")
    }
    kinds = Counter(row["type"] for row in rows)
    operators, clients = by["operator"], by["client"]
    names = {name: {row[name] or "—" for row in rows} for name in ("operator", "client", "city")}
    lists = {"operatorsList": "operator", "clientsList": "client", "citiesList": "city"}
    return {
        "summary": {displayed: kinds[kind] for displayed, kind in SUMS.items()},
        "operators": [
            {
                "operator": name,
                "itemsToday": operators[name, "ITEM"],
                "errorsToday": operators[name, "ERROR"],
                **_last([row for row in rows if (row["operator"] or "—") == name]),
            }
            for name in names["operator"]
        ],
        "clients": [
            {
                "client": name,
                **{displayed: clients[name, kind] for displayed, kind in COUNTS.items()},
            }
            for name in names["client"]
        ],
        **{displayed: sorted(names[name] - {"—"}) for displayed, name in lists.items()},
    }


def _last(rows: list[Row]) -> Row:
    last = max(rows, key=lambda row: (row["received"], row["at"]))
    named = {"lastClient": "client", "lastCity": "city", "lastBox": "box"}
    return {displayed: last[name] or "—" for displayed, name in named.items()}


async def _raw(store: Store, request: web.Request) -> Any:
    rows = [
        row for row in _asked(store, request) if request.query.get("type") in (None, row["type"])
    ]
    offset, limit = int(request.query.get("offset", 0)), int(request.query["limit"])
    logs = [
        {name: value for name, value in row.items() if name not in ("at", "received")}
        | {"tsMs": round(row["at"].timestamp() * 1000)}
        for row in rows[offset : offset + limit]
    ]
    return {"logs": logs, "total": len(rows)}


async def _boxes(store: Store, request: web.Request) -> Any:
    order = "uuid" if store.faults.shuffles else "ts"
    last = {
        (row["client"] or "—", row["city"] or "—", row["box"]): row
        for row in sorted(_asked(store, request), key=lambda row: row[order])
        if row["type"] in ("BOX", "CLOSE", "AUTO_CLOSE")
    }
    clients = [
        {"client": client, "cities": [{"city": city, "boxes": [_box(row)]}]}
        for (client, city, _), row in last.items()
    ]
    return {"clients": clients, "totalBoxes": len(last)}


def _box(row: Row) -> Row:
    status = "open" if row["type"] == "BOX" else "closed"
    return {"box": row["box"], "day": row["at"].date().isoformat(), "status": status}


async def _quarantine(store: Store, request: web.Request) -> Any:
    return {"events": [], "total": len(store.quarantined)}


def _asked(store: Store, request: web.Request) -> list[Row]:
    first, last = (date.fromisoformat(request.query[name]) for name in ("date", "date_end"))
    begin = datetime.combine(first, time(), ZONE)
    end = datetime.combine(last + timedelta(days=1), time(), ZONE)
    filters = {n: request.query[n] for n in ("operator", "client", "city") if n in request.query}
    return [
        row
        for row in store.rows
        if begin <= row["at"] < end and all(row[name] == text for name, text in filters.items())
    ]
