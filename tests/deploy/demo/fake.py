"""A gateway of one process and no memory of yesterday: the batch contract in a dictionary.

Written against the wire contract; `Faults` makes it fail, honestly or not.
"""

import asyncio
from collections import Counter
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from aiohttp import web

from libs.testing.servers import http_server

KEY = "a-key-for-tests-only"
ZONE = ZoneInfo("Europe/Moscow")
Row = dict[str, Any]
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
    """What the fake knows."""

    faults: Faults = field(default_factory=Faults)
    rng: Random = field(default_factory=lambda: Random(1))
    rows: list[Row] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    quarantined: set[str] = field(default_factory=set)
    requests: int = 0
    largest: int = 0
    repeats: int = 0


def serving(store: Store) -> AbstractAsyncContextManager[str]:
    """The fake on a free port; yields its URL."""
    app = web.Application(middlewares=[_key_only])
    app[STORE] = store
    app.add_routes(
        [
            web.post("/api/v1/events/batch", _batch),
            web.post("/api/v1/events/verify", _verify),
            web.get("/api/v1/dashboard/state", _state),
            web.get("/api/v1/dashboard/raw", _raw),
            web.get("/api/v1/dashboard/boxes", _boxes),
            web.get("/api/v1/quarantine", _quarantine),
        ]
    )
    return http_server(app)


STORE = web.AppKey("store", Store)


@web.middleware
async def _key_only(request: web.Request, handler: Any) -> web.StreamResponse:
    if request.headers.get("X-API-Key") != KEY:
        return web.json_response({"detail": "Invalid or missing API key"}, status=401)
    answer: web.StreamResponse = await handler(request)
    return answer


async def _batch(request: web.Request) -> web.Response:
    store = request.app[STORE]
    events = (await request.json())["events"]
    store.requests += 1
    store.largest = max(store.largest, len(events))
    await asyncio.sleep(0)
    failing = store.rng.random() < store.faults.failing
    if failing and store.rng.random() < 0.5:
        return web.json_response({"detail": "Temporarily unavailable"}, status=503)
    answer = _record(store, events)
    if failing:
        return web.json_response({"detail": "too late"}, status=504)
    return web.json_response(answer)


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


async def _verify(request: web.Request) -> web.Response:
    store = request.app[STORE]
    asked = (await request.json())["uuids"]
    kept = {uuid for uuid in asked if uuid in store.quarantined or uuid.lower() in store.seen}
    return web.json_response({"ok": True, "present": sorted(kept)})


async def _state(request: web.Request) -> web.Response:
    rows = _asked(request)
    by: dict[str, Counter[tuple[str, str]]] = {
        name: Counter((row[name] or "—", row["type"]) for row in rows)
        for name in ("operator", "client")
    }
    kinds = Counter(row["type"] for row in rows)
    operators, clients = by["operator"], by["client"]
    names = {name: {row[name] or "—" for row in rows} for name in ("operator", "client", "city")}
    lists = {"operatorsList": "operator", "clientsList": "client", "citiesList": "city"}
    return web.json_response(
        {
            "summary": {shown: kinds[kind] for shown, kind in SUMS.items()},
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
                {"client": name, **{shown: clients[name, kind] for shown, kind in COUNTS.items()}}
                for name in names["client"]
            ],
            **{shown: sorted(names[name] - {"—"}) for shown, name in lists.items()},
        }
    )


def _last(rows: list[Row]) -> Row:
    last = max(rows, key=lambda row: (row["received"], row["at"]))
    named = {"lastClient": "client", "lastCity": "city", "lastBox": "box"}
    return {shown: last[name] or "—" for shown, name in named.items()}


async def _raw(request: web.Request) -> web.Response:
    rows = [row for row in _asked(request) if request.query.get("type") in (None, row["type"])]
    offset, limit = int(request.query.get("offset", 0)), int(request.query["limit"])
    logs = [
        {name: value for name, value in row.items() if name not in ("at", "received")}
        | {"tsMs": round(row["at"].timestamp() * 1000)}
        for row in rows[offset : offset + limit]
    ]
    return web.json_response({"logs": logs, "total": len(rows)})


async def _boxes(request: web.Request) -> web.Response:
    order = "uuid" if request.app[STORE].faults.shuffles else "ts"
    last = {
        (row["client"] or "—", row["city"] or "—", row["box"]): row
        for row in sorted(_asked(request), key=lambda row: row[order])
        if row["type"] in ("BOX", "CLOSE", "AUTO_CLOSE")
    }
    clients = [
        {"client": client, "cities": [{"city": city, "boxes": [_box(row)]}]}
        for (client, city, _), row in last.items()
    ]
    return web.json_response({"clients": clients, "totalBoxes": len(last)})


def _box(row: Row) -> Row:
    status = "open" if row["type"] == "BOX" else "closed"
    return {"box": row["box"], "day": row["at"].date().isoformat(), "status": status}


async def _quarantine(request: web.Request) -> web.Response:
    return web.json_response({"events": [], "total": len(request.app[STORE].quarantined)})


def _asked(request: web.Request) -> list[Row]:
    first, last = (date.fromisoformat(request.query[name]) for name in ("date", "date_end"))
    begin = datetime.combine(first, time(), ZONE)
    end = datetime.combine(last + timedelta(days=1), time(), ZONE)
    filters = {n: request.query[n] for n in ("operator", "client", "city") if n in request.query}
    return [
        row
        for row in request.app[STORE].rows
        if begin <= row["at"] < end and all(row[name] == text for name, text in filters.items())
    ]
