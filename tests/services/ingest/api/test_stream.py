"""The dashboard as it changes: who listens always knows what asking anew would tell.

Longer than most: a stream is told from its first event to its end.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from services.ingest.api import live, overview, watch
from services.ingest.bootstrap import create_app
from tests.services.ingest.listening import Listener, applied, at, listening
from tests.services.ingest.shift import BATCH, a_step, sent
from tests.services.ingest.told import Clock, Projector

STATE = "/api/v1/dashboard/state"


@pytest.fixture
def build(app: FastAPI) -> Callable[..., FastAPI]:
    """Builds the API with settings that differ, on the same log and read models."""

    def built(**different: Any) -> FastAPI:
        quick = {"stream_poll_seconds": 0.01, "stream_heartbeat_seconds": 0.05} | different
        deps = app.state.deps
        return create_app(replace(deps, settings=deps.settings.model_copy(update=quick)))

    return built


@pytest.fixture
def lively(build: Callable[..., FastAPI]) -> FastAPI:
    """The API, looking and beating often."""
    return build()


@pytest.fixture
async def scan(device: AsyncClient, projector: Projector, clock: Clock) -> Any:
    """Sends a scan and has it counted."""

    async def send(number: int, **changes: Any) -> None:
        event = sent(number, changes.pop("moment", clock.now), **changes)
        clock.pass_by(seconds=1)
        answer = await device.post(BATCH, json={"events": [event]})
        assert answer.json()["inserted"] == 1
        await projector.catch_up()

    return send


def items(number: int) -> Callable[[dict[str, Any]], bool]:
    """Whether so many items are counted and listed."""
    return lambda state: (
        state["summary"]["items"] == number
        and sum(row["type"] == "ITEM" for row in state["feed"]) == number
    )


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


async def test_many_who_ask_the_same_cost_one_look(
    lively: FastAPI, viewer: AsyncClient, scan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str | None] = []
    really = overview.look

    async def counted(connection: Any, question: Any, **how: Any) -> Any:
        looks.append(question.client)
        return await really(connection, question, **how)

    monkeypatch.setattr(live, "look", counted)
    await scan(1)

    async def listen(told: asyncio.Barrier, **asked: str) -> None:
        async with listening(lively, viewer, **asked) as listener:
            state = (await listener.next()).data
            await told.wait()
            await listener.until(state, items(2))

    told = asyncio.Barrier(26)
    async with asyncio.TaskGroup() as group:
        for _ in range(24):
            group.create_task(listen(told))
        group.create_task(listen(told, client="ivancov"))
        await told.wait()
        assert sorted(looks, key=str) == [None, "ivancov"]
        await scan(2)

    # A look may fall between the writing of one read model and the next.
    assert len(looks) <= 2 + 2 * 6


async def test_a_slow_listener_skips_what_is_past_and_ends_up_right(
    lively: FastAPI, viewer: AsyncClient, scan: Any
) -> None:
    async with listening(lively, viewer) as slow, listening(lively, viewer) as quick:
        state = (await quick.next()).data
        for number in range(12):
            await scan(number)
            state, _ = await quick.until(state, items(number + 1))
        late, events = await slow.until(state | {"feed": []}, items(12))

    assert at(late, state["generatedAt"]) == state
    assert len(events) <= 3


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


async def test_a_stream_ends_after_its_time_and_when_the_process_does(
    build: Callable[..., FastAPI], viewer: AsyncClient
) -> None:
    async with listening(build(stream_lifetime_seconds=0.2), viewer) as listener:
        await listener.next("state")
        await listener.next("end")
    ending = build()
    async with listening(ending, viewer) as listener:
        await listener.next("state")
        ending.state.draining = True
        await listener.next("end")


async def test_who_is_one_too_many_to_listen_is_told_to_come_again(
    build: Callable[..., FastAPI], viewer: AsyncClient
) -> None:
    full = build(max_streams=1)
    async with listening(full, viewer) as listener:
        await listener.next()
        async with listening(full, viewer) as refused:
            await refused.part()
    async with listening(full, viewer) as again:
        await again.next()

    assert (refused.status, refused.headers["retry-after"]) == (503, "10")
    assert again.status == 200


@pytest.mark.parametrize("asked", [{"date": "soon"}, {"city": "a\0b"}], ids=str)
async def test_a_question_without_sense_is_400(
    lively: FastAPI, viewer: AsyncClient, asked: dict[str, str]
) -> None:
    async with listening(lively, viewer, **asked) as listener:
        await listener.part()

    assert listener.status == 400


async def test_only_readers_may_listen(
    lively: FastAPI, viewer: AsyncClient, device: AsyncClient
) -> None:
    async with listening(lively, device) as listener:
        await listener.part()

    assert listener.status == 403


async def test_a_database_that_is_away_for_a_while_is_waited_for(
    app: FastAPI, build: Callable[..., FastAPI], viewer: AsyncClient, scan: Any
) -> None:
    away = False
    standing = app.state.deps.standing

    async def sometimes() -> object:
        if away:
            raise ConnectionRefusedError
        return await standing()

    patient = create_app(replace(build().state.deps, standing=sometimes))

    async def beats(listener: Listener, times: int) -> None:
        for _ in range(times):
            await listener.next("comment")

    async with listening(patient, viewer) as listener:
        first = await listener.next()
        away = True
        await scan(1)
        await beats(listener, 3)
        away = False
        await listener.until(first.data, items(1))
