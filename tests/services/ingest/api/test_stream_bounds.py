"""The dashboard as it changes: who listens always knows what asking anew would tell.

Longer than most: a stream is told from its first event to its end.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from services.ingest.api import live, overview
from services.ingest.bootstrap import create_app
from tests.services.ingest.listening import Listener, at, items, listening

STATE = "/api/v1/dashboard/state"


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
