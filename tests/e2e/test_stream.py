"""A supervisor's dashboard hears of a scan as soon as it is counted, through the gateway."""

import asyncio
from typing import Any

import aiohttp

from libs.clock import utc_now
from libs.testing.event_stream import Event, read
from libs.testing.polling import PATIENCE_SECONDS
from tests.e2e.scans import scan, send
from tests.services.ingest.listening import STREAM, applied


def now() -> dict[str, Any]:
    return scan(ts=int(utc_now().timestamp() * 1000))


async def next_event(answer: aiohttp.ClientResponse, *kinds: str) -> Event:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            event = read((await answer.content.readuntil(b"\n\n")).decode().removesuffix("\n\n"))
            if event.name in kinds:
                return event


async def test_changes_pass_the_gateway_one_by_one_as_they_happen(
    client: aiohttp.ClientSession,
) -> None:
    async with client.get(STREAM) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        first = await next_event(answer, "state")
        # Nothing more was said so far, and nothing is held back until more comes.
        await next_event(answer, "comment")
        state, last = first.data, first
        for number in (1, 2):
            await send(client, now())
            while (state["summary"]["items"], len(state["feed"])) != (number, number):
                last = await next_event(answer, "cells")
                state = applied(state, last)
    await send(client, now())
    async with client.get(STREAM, headers={"Last-Event-ID": last.id or ""}) as answer:
        while (state["summary"]["items"], len(state["feed"])) != (3, 3):
            missed = await next_event(answer, "state", "cells")
            assert missed.name == "cells"
            state = applied(state, missed)

    assert first.data["operators"] == []
    assert [row["operator"] for row in state["operators"]] == ["anna"]
