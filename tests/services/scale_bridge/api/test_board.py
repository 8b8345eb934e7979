"""The board over HTTP, once and as it changes (SCL-12, SCL-16)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    BORIS,
    Inside,
    fetched,
    inside,
    patch,
    registered,
    working,
)

QUICK: dict[str, Any] = {"stream_poll_seconds": 0.02, "stream_heartbeat_seconds": 0.1}


async def board(client: Any) -> list[dict[str, Any]]:
    answer = await client.get("/devices/board")
    assert answer.status_code == 200, answer.text
    devices: list[dict[str, Any]] = answer.json()["devices"]
    return devices


async def test_the_dead_one_and_the_liar_are_named_with_their_reasons(database: str) -> None:
    """The worst first."""
    async with (
        a_scale(3) as good,
        a_scale(3) as liar,
        a_scale(3) as dead,
        working(database, breaker_failures=99) as made,
        made.client() as anna,
    ):
        numbers = {}
        for name, scale in (("Сыр", good), ("Лжец", liar), ("Рыба", dead)):
            numbers[name] = await registered(anna, scale, name=name)
            await fetched(anna, numbers[name])
        liar.faults.set(["lie"])
        await patch(anna, numbers["Лжец"], 1, price=7.5)
        assert (await anna.post(f"/devices/{numbers['Лжец']}/upload")).status_code == 503
        await dead.power_cut()
        assert (await anna.post(f"/devices/{numbers['Рыба']}/probe")).status_code == 503
        await made.fresh.caught_up("everything")

        found = await board(anna)
        assert [(one["name"], one["state"]) for one in found] == [
            ("Лжец", "lying"),
            ("Рыба", "unreachable"),
            ("Сыр", "ok"),
        ]
        assert found[0]["reason"].startswith("Весы подтвердили загрузку, но показывают другие")
        assert (found[0]["pending"], found[0]["desired_revision"]) == (1, 2)
        assert found[1]["reason"] == "Нет соединения с весами."
        assert all(one["last_exchange"] for one in found)
        assert (found[2]["desired_revision"], found[2]["verified_revision"]) == (1, 1)


async def test_everybody_sees_their_own_only(database: str) -> None:
    async with (
        a_scale(1) as simulator,
        inside(database) as made,
        made.client() as anna,
        made.client(BORIS) as boris,
        made.nobody() as nobody,
    ):
        await registered(anna, simulator)
        assert len(await board(anna)) == 1
        assert await board(boris) == []
        for path in ("/devices/board", "/devices/board/stream"):
            assert (await nobody.get(path)).status_code == 401


async def test_whoever_watches_is_told_what_changes(database: str) -> None:
    async with (
        a_scale(2) as simulator,
        working(database, **QUICK) as made,
        made.client() as anna,
        listening(made.app, anna.headers["Authorization"]) as events,
    ):
        assert await anext(events) == ("board", [])
        number = await registered(anna, simulator, name="Сыр")
        kind, told = await anext(events)
        assert (kind, told["devices"][0]["state"]) == ("scales", "unknown")

        await fetched(anna, number)
        await until(events, lambda told: told["devices"][0]["state"] == "ok")
        await patch(anna, number, 1, price=3.5)
        await made.fresh.caught_up("device")
        await until(events, lambda told: told["devices"][0]["state"] == "dirty")
        await anna.delete(f"/devices/{number}")
        await until(events, lambda told: told["gone"] == [number])


async def test_too_many_who_watch_are_told_so(database: str) -> None:
    async with (
        inside(database, max_streams=1, **QUICK) as made,
        made.client() as anna,
        listening(made.app, anna.headers["Authorization"]) as events,
    ):
        await anext(events)
        answer = await anna.get("/devices/board/stream")
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)


async def test_a_stream_ends_when_its_time_is_over(database: str) -> None:
    async with inside(database, stream_lifetime_seconds=0.2, **QUICK) as made:
        await ended(made)


async def test_a_stream_ends_when_the_process_is_about_to(database: str) -> None:
    async with inside(database, **QUICK) as made:
        made.app.state.draining = True
        await ended(made)


async def ended(made: Inside) -> None:
    async with made.client() as anna:
        answer = await asyncio.wait_for(anna.get("/devices/board/stream"), 20)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")


async def until(events: AsyncIterator[tuple[str, Any]], holds: Any) -> None:
    async with asyncio.timeout(20):
        async for _, told in events:
            if holds(told):
                return
    raise AssertionError("the stream ended")


@asynccontextmanager
async def listening(
    app: FastAPI, authorization: str, *, query: str = ""
) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """The events of the board's stream; httpx would wait for the end of it."""
    said: asyncio.Queue[bytes] = asyncio.Queue()
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200
        else:
            said.put_nowait(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/devices/board/stream",
        "raw_path": b"/devices/board/stream",
        "query_string": query.encode(),
        "headers": [(b"authorization", authorization.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("scales", 80),
    }
    answering = asyncio.create_task(app(scope, receive, send))  # type: ignore[arg-type]
    try:
        yield _events(said)
    finally:
        gone.set()
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


async def _events(said: asyncio.Queue[bytes]) -> AsyncIterator[tuple[str, Any]]:
    while True:
        async with asyncio.timeout(20):
            text = (await said.get()).decode()
        lines = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        if "data" in lines:
            yield lines["event"], json.loads(lines["data"])
