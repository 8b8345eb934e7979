"""The live dashboard: the events of a stream always add up to the queried state."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI

from libs.http.live import LiveQuery
from libs.testing.event_stream import Listener, open_stream, read
from libs.testing.polling import PATIENCE_SECONDS, eventually
from services.ingest.dashboard.api import overview
from services.ingest.dashboard.api import stream as live
from tests.services.ingest.listening import STREAM, applied, at, follow, items
from tests.services.ingest.service import STATE, Service, served
from tests.services.ingest.shift import a_step, sent

Scan = Callable[..., Awaitable[None]]
Listen = Callable[..., AbstractAsyncContextManager[Listener]]


def lively_app(ingest: Service, **different: Any) -> FastAPI:
    """The API, reading and beating often."""
    quick = {"stream_poll_seconds": 0.01, "stream_heartbeat_seconds": 0.05}
    return ingest.built(**quick | different)


@pytest.fixture
def lively(ingest: Service) -> FastAPI:
    return lively_app(ingest)


@pytest.fixture
def listen(lively: FastAPI, ingest: Service) -> Listen:
    return partial(open_stream, lively, ingest.viewer, STREAM)


@pytest.fixture
def scan(ingest: Service) -> Scan:
    """Sends a scan and has it counted."""

    async def send(number: int, *, moment: datetime | None = None, **changes: Any) -> None:
        event = sent(number, moment or ingest.clock.now, **changes)
        ingest.clock.advance(seconds=1)
        assert (await ingest.send(event))["inserted"] == 1

    return send


async def test_the_first_event_is_the_state_and_the_next_ones_are_changes(
    listen: Listen, ingest: Service, scan: Scan
) -> None:
    await scan(1)
    await scan(2, operator="boris", client="petrov")
    params = await ingest.get(STATE)
    async with listen() as listener:
        first = await listener.next()
        await scan(3)
        state, events = await follow(listener, first.data, items(3))

    assert (first.name, first.data) == ("state", params)
    assert {event.name for event in events} == {"cells"}
    assert len({first.id, *(event.id for event in events)}) == 1 + len(events)
    changes = [event.data for event in events]
    assert {row["operator"] for cells in changes for row in cells["operators"]} == {"anna"}
    assert {row["client"] for cells in changes for row in cells["clients"]} == {"ivancov"}
    assert [(row["code"], row["at"]) for cells in changes for row in cells["feed"]] == [("3", 0)]
    assert all(cells["gone"] == {"operators": [], "clients": [], "feed": []} for cells in changes)
    assert not any("citiesList" in cells for cells in changes)
    fresh = await ingest.get(STATE)
    assert at(state, fresh["generatedAt"]) == fresh


async def test_a_stream_is_neither_cached_nor_buffered_and_has_heartbeats(
    listen: Listen,
) -> None:
    async with listen() as listener:
        retry = await listener.next("retry")
        await listener.next("state")
        for _ in range(3):
            await listener.next("comment")

    assert listener.status == 200
    assert listener.headers["content-type"].startswith("text/event-stream")
    assert listener.headers["cache-control"] == "no-store"
    assert listener.headers["x-accel-buffering"] == "no"
    assert retry.data == 2000


async def test_a_client_that_reconnects_gets_exactly_the_missed_changes(
    listen: Listen, scan: Scan
) -> None:
    await scan(1)
    await scan(2, operator="boris", client="petrov")
    async with listen() as listener:
        first = await listener.next()
    await scan(3, operator="clara", client="petrov", city="Rostov")
    await scan(4, operator="clara", client="petrov", city="Rostov")

    async with listen(last_id=first.id) as listener:
        missed = await listener.next()
    async with listen(last_event_id=first.id or "") as listener:
        asked_by_query = await listener.next()
    async with listen(last_id=missed.id) as listener:
        nothing = await listener.next("state", "cells", "comment")

    assert missed.name == "cells"
    assert [row["operator"] for row in missed.data["operators"]] == ["clara"]
    assert [row["client"] for row in missed.data["clients"]] == ["petrov"]
    assert [row["code"] for row in missed.data["feed"]] == ["4", "3"]
    assert missed.data["citiesList"] == ["Novosem", "Rostov"]
    assert (asked_by_query.name, asked_by_query.data) == ("cells", missed.data)
    assert nothing.name == "comment"


async def test_an_id_that_is_unknown_foreign_or_too_old_gets_the_state(
    listen: Listen, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveQuery, "max_states", 3)
    await scan(1)
    async with listen() as listener:
        first = await listener.next()
    async with listen(client="ivancov") as listener:
        foreign = await listener.next()

    for last_id in ("1", "", "-", f"{first.id}0", foreign.id, "ф" * 300, "0" * 5000):
        quoted = (last_id or "").encode("latin-1", "replace").decode("latin-1")
        async with listen(last_id=quoted) as listener:
            assert (await listener.next()).name == "state"

    async with listen() as listener:
        await listener.next()
        for number in range(2, 7):
            await scan(number)
            await listener.next()
    async with listen(last_id=first.id) as listener:
        assert (await listener.next()).name == "state"


@pytest.mark.parametrize("seed", range(3))
async def test_the_sent_events_add_up_to_the_queried_state(
    listen: Listen, ingest: Service, seed: int
) -> None:
    random = Random(seed)
    params = random.choice([{}, {"client": "ivancov"}, {"date": "2025-10-30"}])
    state: dict[str, Any] = {}
    seen, last_id = set(), None
    for _ in range(4):
        # Now and then the line breaks.
        async with listen(last_id=last_id, **params) as listener:
            for _ in range(6):
                await a_step(random, ingest)
                fresh = await ingest.get(STATE, **params)
                while not state or at(state, fresh["generatedAt"]) != fresh:
                    event = await listener.next()
                    state, last_id = applied(state, event), event.id
                    seen.add(event.name)

    assert seen == {"state", "cells"}


async def test_an_operator_goes_offline_by_time_alone(
    listen: Listen, ingest: Service, scan: Scan
) -> None:
    await scan(1)
    async with listen() as listener:
        first = await listener.next()
        ingest.clock.advance(seconds=301)
        second = await listener.next()

    assert first.data["operators"][0]["online"] is True
    (row,) = second.data["operators"]
    assert (row["online"], row["onlineAgeSec"]) == (False, 301)
    assert second.data["feed"] == []
    assert "summary" not in second.data


async def test_after_midnight_the_new_day_is_sent(
    listen: Listen, ingest: Service, scan: Scan
) -> None:
    ingest.clock.now = datetime(2025, 10, 31, 20, 59, 30, tzinfo=UTC)
    await scan(1)
    async with (
        listen() as today,
        listen(date="2025-10-31") as that_day,
    ):
        yesterday, old_day = await today.next(), await that_day.next()
        ingest.clock.advance(minutes=1)
        new_day = await today.next()
        await scan(2)
        _, late = await follow(today, new_day.data, items(1))
        await scan(3, moment=datetime(2025, 10, 31, 20, 0, tzinfo=UTC))
        _, known = await follow(that_day, old_day.data, items(2))

    assert yesterday.data["summary"]["items"] == 1
    assert (new_day.name, new_day.data["summary"]["items"]) == ("state", 0)
    assert {event.name for event in (*late, *known)} == {"cells"}


async def test_a_tenant_receives_only_its_own_changes(
    lively: FastAPI, listen: Listen, ingest: Service, scan: Scan
) -> None:
    await scan(1)
    async with (
        listen() as ours,
        open_stream(lively, ingest.stranger, STREAM) as theirs,
    ):
        our_state, their_state = await ours.next(), await theirs.next()
        await scan(2)
        await follow(ours, our_state.data, items(2))
        event = sent(3, ingest.clock.now, operator="olga")
        await ingest.send(event, by=ingest.stranger)
        _, events = await follow(theirs, their_state.data, items(1))
    async with open_stream(lively, ingest.stranger, STREAM, last_id=our_state.id) as theirs:
        stolen = await theirs.next()

    assert their_state.data["operators"] == []
    assert {row["operator"] for event in events for row in event.data["operators"]} == {"olga"}
    assert {event.name for event in events} == {"cells"}
    assert (stolen.name, stolen.data["summary"]["items"]) == ("state", 1)


async def test_many_streams_of_one_query_read_it_once(
    listen: Listen, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries: list[str | None] = []
    really = overview.read_overview

    async def counted(connection: Any, scan_filter: Any, **how: Any) -> Any:
        queries.append(scan_filter.client)
        return await really(connection, scan_filter, **how)

    monkeypatch.setattr(live, "read_overview", counted)
    await scan(1)

    async def watch(ready: asyncio.Barrier, **params: str) -> None:
        async with listen(**params) as listener:
            state = (await listener.next()).data
            await ready.wait()
            await follow(listener, state, items(2))

    ready = asyncio.Barrier(26)
    async with asyncio.TaskGroup() as group:
        for _ in range(24):
            group.create_task(watch(ready))
        group.create_task(watch(ready, client="ivancov"))
        await ready.wait()
        assert sorted(queries, key=str) == [None, "ivancov"]
        await scan(2)

    # A query may fall between the writing of one read model and the next.
    assert len(queries) <= 2 + 2 * 6


@asynccontextmanager
async def streamed(
    ingest: Service, app: FastAPI, stop: asyncio.Event
) -> AsyncIterator[aiohttp.ClientResponse]:
    """A stream from the app on a real HTTP server, until the last request is over."""
    headers = {"authorization": ingest.viewer.headers["authorization"]}
    async with (
        served(app, stop) as url,
        aiohttp.ClientSession(headers=headers) as client,
        client.get(f"{url}{STREAM}") as answer,
    ):
        yield answer


async def test_a_stop_ends_a_stream_at_once_and_cleanly(ingest: Service) -> None:
    stop, calm = asyncio.Event(), ingest.built(stream_heartbeat_seconds=30)
    async with streamed(ingest, calm, stop) as answer:
        events = [await answer.content.readuntil(b"\n\n") for _ in range(2)]
        stop.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            # Raises if the connection were cut rather than the answer ended.
            rest = await answer.content.read()

    assert answer.status == 200
    assert answer.headers.getall("cache-control") == ["no-store"]
    names = [read(event.decode().removesuffix("\n\n")).name for event in events]
    assert (names, rest) == (["retry", "state"], b"")


async def test_a_client_that_disconnects_is_not_served_any_more(ingest: Service) -> None:
    async with streamed(ingest, ingest.app, asyncio.Event()) as answer:
        await answer.content.readuntil(b"\n\n")
        watching = ingest.app.state.live.viewers
        answer.close()
        await eventually(lambda: ingest.app.state.live.viewers, 0)

    assert watching == 1
