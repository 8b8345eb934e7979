"""A dashboard that applies the events of its stream."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from libs.testing.event_stream import Event, Listener

STREAM = "/api/v1/dashboard/stream"
KEYS = {"operators": "operator", "clients": "client", "feed": "uuid"}


async def follow(
    listener: Listener, state: dict[str, Any], holds: Callable[[dict[str, Any]], bool]
) -> tuple[dict[str, Any], list[Event]]:
    """Apply events to a state until something holds; the read models come one by one."""
    events: list[Event] = []
    while not holds(state):
        events.append(await listener.next("state", "cells"))
        state = applied(state, events[-1])
    return state, events


def applied(state: dict[str, Any], event: Event) -> dict[str, Any]:
    """The dashboard after an event, by the rules of `services.ingest.dashboard.api.state_diff`."""
    if event.name == "state":
        replaced: dict[str, Any] = event.data
        return replaced
    cells = dict(event.data)
    gone = cells.pop("gone")
    for name, key in KEYS.items():
        cells[name] = _merged(state[name], cells[name], gone[name], key)
    return state | cells


def items(number: int) -> Callable[[dict[str, Any]], bool]:
    """Whether so many items are counted and listed."""
    return lambda state: (
        state["summary"]["items"] == number
        and sum(row["type"] == "ITEM" for row in state["feed"]) == number
    )


def at(state: dict[str, Any], generated_at: str) -> dict[str, Any]:
    """The same dashboard at another moment, if nothing but time went by."""
    now = int(datetime.fromisoformat(generated_at).timestamp() * 1000)
    operators = [
        row | {"onlineAgeSec": max(0, (now - row["lastSeenMs"]) // 1000)}
        for row in state["operators"]
    ]
    return state | {"generatedAt": generated_at, "operators": operators}


def _merged(rows: list[Any], sent: list[Any], gone: list[str], key: str) -> list[Any]:
    out = {*gone, *(row[key] for row in sent)}
    merged = [row for row in rows if row[key] not in out]
    for row in sent:
        merged.insert(row["at"], {name: value for name, value in row.items() if name != "at"})
    return merged
