"""The dashboard as it changes: a listener always knows what asking anew would answer."""

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

from libs.testing.event_stream import Listener, open_stream, read
from libs.testing.polling import PATIENCE_SECONDS, eventually
from services.ingest.dashboard.api import live, overview
from services.ingest.dashboard.api import subscription as watch
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


async def test_first_comes_the_state_then_what_a_scan_changes(
    listen: Listen, ingest: Service, scan: Scan
) -> None:
    await scan(1)
    await scan(2, operator="boris", client="petrov")
    asked = await ingest.get(STATE)
    async with listen() as listener:
        first = await listener.next()
        await scan(3)
        state, events = await follow(listener, first.data, items(3))

    assert (first.name, first.data) == ("state", asked)
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


async def test_the_answer_is_neither_stored_nor_gathered_and_its_heart_beats(
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


async def test_a_listener_who_comes_back_gets_exactly_what_was_missed(
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
    monkeypatch.setattr(watch, "KEPT", 3)
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
async def test_what_was_sent_adds_up_to_what_is_asked(
    listen: Listen, ingest: Service, seed: int
) -> None:
    random = Random(seed)
    asked = random.choice([{}, {"client": "ivancov"}, {"date": "2025-10-30"}])
    state: dict[str, Any] = {}
    seen, last_id = set(), None
    for _ in range(4):
        # Now and then the line breaks.
        async with listen(last_id=last_id, **asked) as listener:
            for _ in range(6):
                await a_step(random, ingest)
                fresh = await ingest.get(STATE, **asked)
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


async def test_tenants_hear_only_of_themselves(
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


async def test_many_who_ask_the_same_cost_one_query(
    listen: Listen, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries: list[str | None] = []
    really = overview.read_overview

    async def counted(connection: Any, question: Any, **how: Any) -> Any:
        queries.append(question.client)
        return await really(connection, question, **how)

    monkeypatch.setattr(live, "read_overview", counted)
    await scan(1)

    async def watch_it(ready: asyncio.Barrier, **asked: str) -> None:
        async with listen(**asked) as listener:
            state = (await listener.next()).data
            await ready.wait()
            await follow(listener, state, items(2))

    ready = asyncio.Barrier(26)
    async with asyncio.TaskGroup() as group:
        for _ in range(24):
            group.create_task(watch_it(ready))
        group.create_task(watch_it(ready, client="ivancov"))
        await ready.wait()
        assert sorted(queries, key=str) == [None, "ivancov"]
        await scan(2)

    # A query may fall between the writing of one read model and the next.
    assert len(queries) <= 2 + 2 * 6


async def test_a_slow_listener_skips_what_is_past_and_ends_up_right(
    listen: Listen, scan: Scan
) -> None:
    async with (
        listen() as slow,
        listen() as quick,
    ):
        state = (await quick.next()).data
        for number in range(12):
            await scan(number)
            state, _ = await follow(quick, state, items(number + 1))
        late, events = await follow(slow, state | {"feed": []}, items(12))

    assert at(late, state["generatedAt"]) == state
    assert len(events) <= 3


async def test_a_stream_ends_after_its_time_and_when_the_process_does(ingest: Service) -> None:
    short = lively_app(ingest, stream_lifetime_seconds=0.2)
    async with open_stream(short, ingest.viewer, STREAM) as listener:
        await listener.next("end")
    ending = lively_app(ingest)
    async with open_stream(ending, ingest.viewer, STREAM) as listener:
        await listener.next("state")
        ending.state.draining = True
        await listener.next("end")


async def test_one_too_many_to_listen_is_asked_to_come_again(ingest: Service) -> None:
    full = lively_app(ingest, max_streams=1)
    async with open_stream(full, ingest.viewer, STREAM) as listener:
        await listener.next()
        async with open_stream(full, ingest.viewer, STREAM) as refused:
            await refused.part()
    async with open_stream(full, ingest.viewer, STREAM) as again:
        await again.next()

    assert (refused.status, refused.headers["retry-after"]) == (503, "10")
    assert again.status == 200


async def test_a_database_that_is_away_for_a_while_is_waited_for(
    ingest: Service, scan: Scan
) -> None:
    away = False

    async def sometimes() -> object:
        if away:
            raise ConnectionRefusedError
        return await ingest.deps.positions()

    async def beats(listener: Listener, times: int) -> None:
        for _ in range(times):
            await listener.next("comment")

    patient = lively_app(ingest, positions=sometimes)
    async with open_stream(patient, ingest.viewer, STREAM) as listener:
        first = await listener.next()
        away = True
        await scan(1)
        await beats(listener, 3)
        away = False
        await follow(listener, first.data, items(1))


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
    names = [read(each.decode().removesuffix("\n\n")).name for each in events]
    assert (names, rest) == (["retry", "state"], b"")


async def test_a_listener_who_hangs_up_is_no_longer_served(ingest: Service) -> None:
    async with streamed(ingest, ingest.app, asyncio.Event()) as answer:
        await answer.content.readuntil(b"\n\n")
        watching = ingest.app.state.live.viewers
        answer.close()
        await eventually(lambda: ingest.app.state.live.viewers, 0)

    assert watching == 1
