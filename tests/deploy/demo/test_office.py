"""The office at the scales' door: what it believes, and how long it insists."""

import asyncio

import aiohttp
from aiohttp import web

from deploy.demo.office import Account, Office
from deploy.local.ports import free_port


async def test_somebody_else_who_answers_at_the_port_is_not_believed() -> None:
    answers = [web.Response(text="welcome"), web.json_response({"devices": []})]

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return answers.pop(0)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    account = Account(email="anna@example.com", password="secret-of-anna")
    async with aiohttp.ClientSession() as session:
        told = await Office(session, url, account, patience=20.0).insist("GET", "/devices/board")
    await runner.cleanup()

    assert told.body == {"devices": []}


async def test_a_door_that_is_not_there_yet_is_tried_again() -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response([])

    port = free_port()
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    account = Account(email="anna@example.com", password="secret-of-anna")
    async with aiohttp.ClientSession() as session:
        office = Office(session, f"http://127.0.0.1:{port}", account, patience=20.0)
        asking = asyncio.create_task(office.insist("GET", "/devices"))
        await asyncio.sleep(0.1)
        assert not asking.done()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        assert (await asking).body == []
    await runner.cleanup()
