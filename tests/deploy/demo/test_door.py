"""What the demo's office and devices make of answers that fail, lie, or never come."""

import asyncio

import aiohttp
from aiohttp import web

from deploy.demo.office import Account, Office
from deploy.demo.outages import Outages
from deploy.local.ports import free_port
from libs.testing.clock import Seconds
from libs.testing.waiting import PATIENCE_SECONDS
from tests.deploy.demo.fake import served

ANNA = Account(email="anna@example.com", password="secret-of-anna")


def answering(*answers: web.Response) -> web.Application:
    """Answers to the first requests, whatever they are."""
    coming = iter(answers)

    async def answer(_: web.Request) -> web.StreamResponse:
        return next(coming)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    return app


async def test_somebody_else_who_answers_at_the_port_is_not_believed() -> None:
    app = answering(web.Response(text="welcome"), web.json_response({"devices": []}))
    async with served(app) as url, aiohttp.ClientSession() as session:
        office = Office(session, url, ANNA, patience=PATIENCE_SECONDS)
        assert (await office.insist("GET", "/devices/board")).body == {"devices": []}


async def test_a_door_that_is_not_there_yet_is_tried_again() -> None:
    port, failed = free_port(), asyncio.Event()
    traces = aiohttp.TraceConfig()

    async def note(*_: object) -> None:
        failed.set()

    traces.on_request_exception.append(note)
    async with aiohttp.ClientSession(trace_configs=[traces]) as session:
        office = Office(session, f"http://127.0.0.1:{port}", ANNA, patience=PATIENCE_SECONDS)
        asking = asyncio.create_task(office.insist("GET", "/devices"))
        await failed.wait()
        async with served(answering(web.json_response([])), port):
            assert (await asking).body == []


def test_an_outage_is_told_when_it_begins_and_when_it_is_over() -> None:
    said: list[str] = []
    clock = Seconds(0.0)
    outages = Outages(said.append, clock=clock)

    outages.failed("nobody listens")
    clock.now = 2.0
    outages.failed("503\nTemporarily unavailable")
    assert outages.seconds() == 2.0
    outages.worked(begun=1.5)
    outages.worked(begun=2.5)
    clock.now = 9.0
    outages.worked(begun=8.0)

    assert outages.count == 1
    assert outages.seconds() == 0.0
    assert said == [
        "Outage 1: nobody listens. The devices keep trying.",
        "Outage 1 is over after 2.0 s and 2 failed requests.",
    ]
