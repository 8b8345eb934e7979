"""A page that stays open: it counts what it is sent, and resumes after a lost connection."""

import asyncio
from collections import Counter
from typing import Any

import aiohttp
from aiohttp import web

from deploy.demo.shop.page import LivePage
from deploy.demo.shop.staff import MANAGER, Member
from libs.testing.polling import PATIENCE_SECONDS, eventually
from libs.testing.servers import http_server

HELLO = {"type": "connection", "status": "connected"}
FIRST: list[dict[str, Any]] = [
    {"type": "order_created", "data": {"id": 1}, "event_id": "11"},
    {
        "type": "status_changed",
        "data": {"order_id": 1, "old_status": "new", "new_status": "paid"},
        "event_id": "12",
    },
    {"type": "ping"},
]
SECOND = [{"type": "task_updated", "data": {"task_id": 5, "status": "pending"}, "event_id": "13"}]


async def test_a_page_counts_its_messages_and_resumes_after_the_last_one() -> None:
    queries: list[dict[str, str]] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        queries.append(dict(request.query))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for message in (HELLO, *(FIRST if len(queries) == 1 else SECOND)):
            await socket.send_json(message)
        if len(queries) > 1:
            await socket.receive()
        return socket

    async with http_server(serve) as url, aiohttp.ClientSession() as session:
        member = Member(session, url, MANAGER, patience=PATIENCE_SECONDS)
        member.headers, member.shop_id = {"Authorization": "Bearer token"}, 7
        page = LivePage(member, "orders")
        staying = asyncio.create_task(page.stay_open())
        await eventually(lambda: page.seen["pending"] == 1, what="the message after the outage")
        staying.cancel()
        await asyncio.gather(staying, return_exceptions=True)

    assert page.seen == Counter({"order_created": 1, "new → paid": 1, "pending": 1})
    assert queries == [{"token": "token"}, {"token": "token", "last_event_id": "12"}]
