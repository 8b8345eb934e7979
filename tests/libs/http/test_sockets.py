"""WebSockets that receive live messages, on real servers and a real database."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.clock import utc_now
from libs.http import live_messages, sockets
from libs.http.sockets import REFUSED, RESTART, TOO_BIG, TRY_LATER
from libs.testing.polling import eventually
from tests.libs.bakery_database import migrate_bakery
from tests.libs.http.live_bakery import (
    CALLER,
    SESSION,
    Bakery,
    open_bakery,
)


@pytest.fixture
async def database(empty_database: str) -> str:
    """One with the tables of the bakery."""
    await migrate_bakery(empty_database, live_messages.create_live_messages)
    return empty_database


@pytest.fixture
async def bakery(database: str) -> AsyncIterator[Bakery]:
    """An API process."""
    async with open_bakery(database) as opened:
        yield opened


async def test_a_client_is_greeted_and_gets_what_happens_from_then_on(bakery: Bakery) -> None:
    await bakery.bake()
    async with bakery.listening() as (counter, hello):
        await bakery.bake(2)
        first, second, third = [await counter.next() for _ in range(3)]

    timestamp = hello.pop("timestamp")
    assert timestamp.endswith("+00:00")
    assert hello == {
        "type": "connection",
        "status": "connected",
        "resumed": False,
        "shop_id": "demo",
    }
    assert (first["type"], second["type"], third["type"]) == (
        "loaf_baked",
        "roll_baked",
        "loaf_baked",
    )
    assert first["data"] == {"number": 2, "filling": "", "price": "demo 1"}
    assert first.keys() == {"type", "data", "timestamp", "event_id"}


async def test_all_processes_hear_and_no_other_tenant_does(database: str, bakery: Bakery) -> None:
    async with (
        open_bakery(database, beside=bakery) as beside,
        bakery.listening() as (here, _),
        beside.listening() as (there, _),
        beside.listening(tenant="other", of="other") as (stranger, _),
    ):
        await bakery.bake(3)
        assert await here.loaves(1, 2, 3) == await there.loaves(1, 2, 3)
        await bakery.bake(tenant="other")
        assert (await stranger.next())["data"]["number"] == 4


async def test_a_client_that_names_its_last_message_gets_what_it_missed_from_any_process(
    database: str, bakery: Bakery
) -> None:
    async with bakery.listening() as (counter, _):
        await bakery.bake(2)
        ids = await counter.loaves(1, 2)
    await bakery.bake(3)

    async with (
        open_bakery(database, beside=bakery) as beside,
        beside.listening(ids[1]) as (counter, hello),
    ):
        assert hello["resumed"]
        # The second message of the last loaf was not received either.
        assert (await counter.next())["event_id"] == ids[2]
        await counter.loaves(3, 4, 5)
        await bakery.bake()
        await counter.loaves(6)


@pytest.mark.parametrize("last", ["0", "9" * 18, "9" * 40, "-1", "%20", "null", "1e3", "٣"])
async def test_a_client_is_told_that_it_cannot_continue(bakery: Bakery, last: str) -> None:
    await bakery.bake(2)
    async with bakery.listening(last) as (counter, hello):
        assert not hello["resumed"]
        await bakery.bake()
        await counter.loaves(3)


@dataclass
class CutOff:
    """A client that is cut off and reconnects, to one process or the other; and all it received."""

    processes: list[Bakery]
    last: str
    received: list[int] = field(default_factory=list)
    expected: list[int] = field(default_factory=list)

    async def go_through(self, step: str) -> None:
        """Bake, change to the other process, or reconnect and receive something or everything."""
        match step:
            case "bake" | "burst":
                await self.bake(1 if step == "bake" else 5)
            case "change":
                self.processes.reverse()
            case "live":
                await self.receive(3, self.bake(4))
            case _:
                await self.receive(1 if step == "cut" else len(self.expected))

    async def bake(self, count: int) -> None:
        """Bake so many loaves."""
        first = self.processes[0].baked + 1
        for number in range(first, first + count):
            self.expected += [number] * (1 + (number % 2 == 0))
        await self.processes[0].bake(count)
        self.processes[1].baked = self.processes[0].baked

    async def receive(self, most: int, meanwhile: Coroutine[Any, Any, None] | None = None) -> None:
        """Reconnect, and receive what is missing, at most so many messages; then be cut off."""
        async with (
            asyncio.TaskGroup() as others,
            self.processes[0].listening(self.last) as (counter, hello),
        ):
            assert hello["resumed"]
            if meanwhile is not None:
                others.create_task(meanwhile)
                await asyncio.sleep(0)
            for _ in range(min(most, len(self.expected) - len(self.received))):
                message = await counter.next()
                self.received.append(message["data"]["number"])
                self.last = message["event_id"]


@pytest.mark.parametrize("in_memory", [True, False])
@settings(
    max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    steps=st.lists(st.sampled_from(["bake", "burst", "live", "cut", "read", "change"]), max_size=20)
)
async def test_clients_that_are_cut_off_at_any_moment_miss_nothing_and_get_nothing_twice(
    database: str, in_memory: bool, steps: list[str]
) -> None:
    with pytest.MonkeyPatch.context() as limits:
        if not in_memory:
            limits.setattr(live_messages, "BACKLOG_BYTES", 1)
            limits.setattr(live_messages, "PAGE", 2)
        async with (
            open_bakery(database) as bakery,
            open_bakery(database, beside=bakery) as beside,
        ):
            # The log of the examples before goes on.
            bakery.baked = await bakery.fetch_value("SELECT count(*) FROM events")
            await bakery.caught_up()
            await bakery.bake()
            newest = await bakery.fetch_value("SELECT max(id) FROM live_message")
            client = CutOff([bakery, beside], str(newest))
            for step in [*steps, "read"]:
                await client.go_through(step)
            # And nothing more than was expected.
            client.last, before = str(newest), client.expected
            client.received = []
            await client.receive(len(before))
            await client.go_through("bake")
            await client.receive(9)

    assert client.received == client.expected


async def test_a_client_may_fall_behind_by_more_than_is_in_memory(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_messages, "BACKLOG_BYTES", 2_000)
    monkeypatch.setattr(live_messages, "PAGE", 7)
    async with bakery.listening() as (counter, _):
        numbers = await bakery.bake(40, filling="x" * 100)
        await counter.loaves(*numbers)


async def test_a_client_that_does_not_read_is_closed_and_delays_no_other(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "SEND_SECONDS", 0.5)
    async with bakery.counter() as slow, bakery.listening() as (quick, _):
        reader = slow.socket._response.connection
        assert reader is not None
        assert reader.transport is not None
        reader.transport.pause_reading()
        while bakery.app.state.live.viewers == 2:
            await quick.loaves(*await bakery.bake(20, filling="x" * 200_000))
        reader.transport.resume_reading()

        await quick.loaves(*await bakery.bake())


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"Authorization": "Bearer x"}, 401), (None, 403)]
)
async def test_a_socket_demands_the_permission_of_its_route(
    bakery: Bakery, headers: Any, status: int
) -> None:
    given = {} if headers is None else {"headers": headers}
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with bakery.counter(scopes=("bread:write",), **given):
            pass
    assert refused.value.status == status


async def test_another_tenant_is_refused(bakery: Bakery) -> None:
    async with bakery.counter(of="other") as counter:
        assert await counter.next() == REFUSED


async def test_a_revoked_session_ends_its_sockets(bakery: Bakery) -> None:
    async with bakery.listening() as (counter, _):
        bakery.deps.revocations.remember(SESSION, utc_now())
        assert await counter.next() == REFUSED
    await eventually(lambda: bakery.app.state.live.viewers == 0)


async def test_sockets_are_closed_when_the_process_stops(database: str) -> None:
    async with open_bakery(database) as bakery, bakery.listening() as (counter, _):
        bakery.app.state.draining = True
        assert await counter.next() == RESTART


async def test_a_socket_lives_for_so_long(database: str) -> None:
    async with (
        open_bakery(database, stream_lifetime_seconds=0.01) as bakery,
        bakery.listening() as (counter, _),
    ):
        assert await counter.next() == sockets.GOING_AWAY


async def test_the_sockets_of_a_tenant_and_of_a_process_are_limited(database: str) -> None:
    async with (
        open_bakery(database, max_sockets_per_tenant=1, max_streams=2) as bakery,
        bakery.listening(),
    ):
        async with bakery.counter() as second:
            assert await second.next() == TRY_LATER
        async with (
            bakery.listening(tenant="other", of="other"),
            bakery.counter(tenant="third", of="third") as third,
        ):
            assert await third.next() == TRY_LATER

        async def has_room() -> bool:
            async with bakery.counter(tenant="third", of="third") as counter:
                return bool(await counter.next() != TRY_LATER)

        await eventually(has_room)


async def test_pings_are_messages_and_pongs_get_no_answer(database: str) -> None:
    async with (
        open_bakery(database, socket_ping_seconds=0.05) as bakery,
        bakery.listening() as (counter, _),
    ):
        ping = await counter.next()
        assert ping.keys() == {"type", "timestamp"}
        assert ping["type"] == "ping"
        await counter.send({"type": "pong"})
        assert (await counter.next())["type"] == "ping"


async def test_a_client_chooses_the_types_of_messages(bakery: Bakery) -> None:
    async with bakery.listening() as (counter, _):
        await counter.send({"type": "subscribe", "events": ["roll_baked", 7]})
        answer = await counter.next()
        assert (answer["type"], answer["events"]) == ("subscribed", ["roll_baked"])

        await bakery.bake(4)
        types = [(await counter.next())["type"] for _ in range(2)]
    assert types == ["roll_baked", "roll_baked"]


@pytest.mark.parametrize(
    "message",
    [{"type": "hello"}, {"type": "subscribe", "events": 7}, [1], 7, None, "no JSON", "[" * 9_000],
    ids=range(7),
)
async def test_other_messages_are_sent_back(bakery: Bakery, message: Any) -> None:
    async with bakery.listening() as (counter, _):
        await counter.send(message)
        answer = await counter.next()

    assert (answer["type"], answer["data"]) == ("echo", message)
    assert answer["timestamp"]


async def test_a_handler_answers_and_its_refusals_do_not_end_the_socket(bakery: Bakery) -> None:
    async with bakery.listening() as (counter, _):
        await counter.send({"type": "bake", "hot": True})
        refusal = await counter.next()
        await counter.send({"type": "bake"})
        answer = await counter.next()

    assert (refusal["type"], refusal["code"]) == ("error", "OvenBroken")
    assert (answer["type"], answer["by"]) == ("baking", str(CALLER))


@pytest.mark.parametrize(("message", "code"), [("x" * 20_000, TOO_BIG), (b"bytes", REFUSED)])
async def test_a_message_that_is_too_long_or_no_text_ends_the_socket(
    bakery: Bakery, message: Any, code: int
) -> None:
    async with bakery.listening() as (counter, _):
        if isinstance(message, bytes):
            await counter.socket.send_bytes(message)
        else:
            await counter.send(message)
        assert await counter.next() == code


async def test_a_client_that_vanishes_leaves_nothing_behind(bakery: Bakery) -> None:
    async with bakery.listening() as (counter, _):
        counter.socket._response.close()
        await eventually(lambda: bakery.app.state.live.viewers == 0)
    assert "sockets" not in {task.get_name() for task in asyncio.all_tasks()}
