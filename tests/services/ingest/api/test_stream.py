"""The dashboard as it changes: who listens always knows what asking anew would tell.

Longer than most: a stream is told from its first event to its end.
"""

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from services.ingest.api import watch
from tests.services.ingest.listening import applied, at, items, listening
from tests.services.ingest.shift import BATCH, a_step, sent
from tests.services.ingest.told import Clock, Projector

STATE = "/api/v1/dashboard/state"


async def test_first_comes_the_state_then_what_a_scan_changes(
    lively: FastAPI, viewer: AsyncClient, scan: Any
) -> None:
    await scan(1)
    await scan(2, operator="boris", client="petrov")
    asked = (await viewer.get(STATE)).json()
    async with listening(lively, viewer) as listener:
        first = await listener.next()
        await scan(3)
        state, events = await listener.until(first.data, items(3))

    assert first.name == "state"
    assert first.data == asked
    assert {event.name for event in events} == {"cells"}
    assert len({first.id, *(event.id for event in events)}) == 1 + len(events)
    told = [event.data for event in events]
    assert {row["operator"] for cells in told for row in cells["operators"]} == {"anna"}
    assert {row["client"] for cells in told for row in cells["clients"]} == {"ivancov"}
    assert [(row["code"], row["at"]) for cells in told for row in cells["feed"]] == [("3", 0)]
    assert all(cells["gone"] == {"operators": [], "clients": [], "feed": []} for cells in told)
    assert not any("citiesList" in cells for cells in told)
    fresh = (await viewer.get(STATE)).json()
    assert at(state, fresh["generatedAt"]) == fresh


async def test_the_answer_is_one_that_nobody_keeps_or_gathers(
    lively: FastAPI, viewer: AsyncClient
) -> None:
    async with listening(lively, viewer) as listener:
        retry = await listener.next("retry")

    assert listener.status == 200
    assert listener.headers["content-type"].startswith("text/event-stream")
    assert listener.headers["cache-control"] == "no-store"
    assert listener.headers["x-accel-buffering"] == "no"
    assert retry.data == 2000


async def test_a_heartbeat_comes_when_nothing_else_does(
    lively: FastAPI, viewer: AsyncClient
) -> None:
    async with listening(lively, viewer) as listener:
        await listener.next("state")
        for _ in range(3):
            await listener.next("comment")


async def test_who_comes_back_gets_exactly_what_was_missed(
    lively: FastAPI, viewer: AsyncClient, scan: Any
) -> None:
    await scan(1)
    await scan(2, operator="boris", client="petrov")
    async with listening(lively, viewer) as listener:
        first = await listener.next()
    await scan(3, operator="clara", client="petrov", city="Rostov")
    await scan(4, operator="clara", client="petrov", city="Rostov")

    async with listening(lively, viewer, last_id=first.id) as listener:
        missed = await listener.next()
    async with listening(lively, viewer, last_event_id=first.id or "") as listener:
        asked_by_query = await listener.next()
    async with listening(lively, viewer, last_id=missed.id) as listener:
        nothing = await listener.next("state", "cells", "comment")

    assert missed.name == "cells"
    assert [row["operator"] for row in missed.data["operators"]] == ["clara"]
    assert [row["client"] for row in missed.data["clients"]] == ["petrov"]
    assert [row["code"] for row in missed.data["feed"]] == ["4", "3"]
    assert missed.data["citiesList"] == ["Novosem", "Rostov"]
    assert (asked_by_query.name, asked_by_query.data) == ("cells", missed.data)
    assert nothing.name == "comment"


async def test_an_id_that_is_unknown_foreign_or_too_old_gets_the_state(
    lively: FastAPI, viewer: AsyncClient, scan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "KEPT", 3)
    await scan(1)
    async with listening(lively, viewer) as listener:
        first = await listener.next()
    async with listening(lively, viewer, client="ivancov") as listener:
        foreign = await listener.next()

    for last_id in ("1", "", "-", f"{first.id}0", foreign.id, "ф" * 300, "0" * 5000):
        quoted = (last_id or "").encode("latin-1", "replace").decode("latin-1")
        async with listening(lively, viewer, last_id=quoted) as listener:
            assert (await listener.next()).name == "state"

    async with listening(lively, viewer) as listener:
        await listener.next()
        for number in range(2, 7):
            await scan(number)
            await listener.next()
    async with listening(lively, viewer, last_id=first.id) as listener:
        assert (await listener.next()).name == "state"


@pytest.mark.parametrize("seed", range(3))
async def test_what_was_told_adds_up_to_what_is_asked(
    lively: FastAPI,
    device: AsyncClient,
    remover: AsyncClient,
    viewer: AsyncClient,
    projector: Projector,
    clock: Clock,
    seed: int,
) -> None:
    random = Random(seed)
    asked = random.choice([{}, {"client": "ivancov"}, {"date": "2025-10-30"}])
    state: dict[str, Any] = {}
    seen, last_id = set(), None
    for _ in range(4):
        # Now and then the line breaks.
        async with listening(lively, viewer, last_id=last_id, **asked) as listener:
            for _ in range(6):
                await a_step(random, device, remover, clock)
                await projector.catch_up()
                fresh = (await viewer.get(STATE, params=asked)).json()
                while not state or at(state, fresh["generatedAt"]) != fresh:
                    event = await listener.next()
                    state, last_id = applied(state, event), event.id
                    seen.add(event.name)

    assert seen == {"state", "cells"}


async def test_an_operator_goes_offline_by_time_alone(
    lively: FastAPI, viewer: AsyncClient, scan: Any, clock: Clock
) -> None:
    await scan(1)
    async with listening(lively, viewer) as listener:
        first = await listener.next()
        clock.pass_by(seconds=301)
        second = await listener.next()

    assert first.data["operators"][0]["online"] is True
    (row,) = second.data["operators"]
    assert (row["online"], row["onlineAgeSec"]) == (False, 301)
    assert second.data["feed"] == []
    assert "summary" not in second.data


async def test_after_midnight_the_new_day_is_told(
    lively: FastAPI, viewer: AsyncClient, scan: Any, clock: Clock
) -> None:
    clock.now = datetime(2025, 10, 31, 20, 59, 30, tzinfo=UTC)
    await scan(1)
    async with (
        listening(lively, viewer) as today,
        listening(lively, viewer, date="2025-10-31") as that_day,
    ):
        yesterday = await today.next()
        old_day = await that_day.next()
        clock.pass_by(minutes=1)
        new_day = await today.next()
        await scan(2)
        _, late = await today.until(new_day.data, items(1))
        await scan(3, moment=datetime(2025, 10, 31, 20, 0, tzinfo=UTC))
        _, known = await that_day.until(old_day.data, items(2))

    assert yesterday.data["summary"]["items"] == 1
    assert (new_day.name, new_day.data["summary"]["items"]) == ("state", 0)
    assert {event.name for event in (*late, *known)} == {"cells"}


async def test_tenants_hear_only_of_themselves(
    lively: FastAPI,
    viewer: AsyncClient,
    stranger: AsyncClient,
    scan: Any,
    projector: Projector,
    clock: Clock,
) -> None:
    await scan(1)
    async with listening(lively, viewer) as ours, listening(lively, stranger) as theirs:
        our_state, their_state = await ours.next(), await theirs.next()
        await scan(2)
        await ours.until(our_state.data, items(2))
        event = sent(3, clock.now, operator="olga")
        await stranger.post(BATCH, json={"events": [event]})
        await projector.catch_up()
        _, told = await theirs.until(their_state.data, items(1))
    async with listening(lively, stranger, last_id=our_state.id) as theirs:
        stolen = await theirs.next()

    assert their_state.data["operators"] == []
    assert {row["operator"] for event in told for row in event.data["operators"]} == {"olga"}
    assert {event.name for event in told} == {"cells"}
    assert (stolen.name, stolen.data["summary"]["items"]) == ("state", 1)
