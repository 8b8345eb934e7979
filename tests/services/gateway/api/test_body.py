"""How much of a request's body is taken, how slowly it may come, and how it goes on."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from libs.testing.clock import Seconds
from libs.testing.waiting import PATIENCE_SECONDS
from services.gateway.api.body import HELD_AT_ONCE, Body, ClientGone, Intake, read
from services.gateway.api.fault import Fault, TooSlow
from services.gateway.api.pace import Paced, Patience

LENGTH = [(b"content-length", b"5")]
CHUNKED = [(b"transfer-encoding", b"chunked")]
LIMIT = 4 * HELD_AT_ONCE


class Client:
    """Sends its parts, each so many seconds after the one before; then it is complete, or gone."""

    def __init__(self, *parts: bytes, hangs_up: bool = False, seconds: float = 0) -> None:
        self.left = list(parts)
        self.hangs_up = hangs_up
        self.seconds = seconds
        self.clock = Seconds()

    async def __call__(self) -> Any:
        if not self.left:
            return {"type": "http.disconnect"}
        self.clock.advance(self.seconds)
        part = self.left.pop(0)
        more = bool(self.left) or self.hangs_up
        return {"type": "http.request", "body": part, "more_body": more}


async def sent(
    client: Client, headers: Sequence[tuple[bytes, bytes]] = CHUNKED
) -> bytes | Body | None:
    return await read(Intake("POST", headers, client), limit=LIMIT)


async def streamed(client: Client) -> Body:
    body = await sent(client)
    assert isinstance(body, Body)
    return body


async def test_a_small_body_goes_on_in_one_piece_and_none_is_not_waited_for() -> None:
    assert await sent(Client(b"he", b"llo"), LENGTH) == b"hello"

    client = Client(b"untouched")
    assert await read(Intake("GET", [], client), limit=LIMIT) is None
    assert client.left


async def test_a_body_that_is_too_large_is_refused_unread_if_it_was_announced() -> None:
    client = Client(b"untouched")
    announced = [(b"content-length", str(LIMIT + 1).encode())]

    for too_large, headers in ((client, announced), (Client(b"x" * (LIMIT + 1)), CHUNKED)):
        with pytest.raises(Fault) as no:
            await sent(too_large, headers)
        assert no.value.status == 413

    assert client.left


async def test_a_large_body_goes_on_as_it_comes() -> None:
    part = b"x" * HELD_AT_ONCE
    client = Client(part, part, b"end")

    body = await streamed(client)
    assert client.left == [b"end"]

    assert b"".join([part async for part in body.parts()]) == part * 2 + b"end"


async def test_an_unannounced_body_is_cut_off_when_it_becomes_too_large() -> None:
    client = Client(*[b"x" * HELD_AT_ONCE] * 10)

    body = await streamed(client)
    with pytest.raises(Fault) as no:
        async for _ in body.parts():
            pass

    assert no.value.status == 413
    assert body.trouble is no.value
    assert len(client.left) == 5


async def test_half_a_body_is_never_taken_for_a_whole_one() -> None:
    with pytest.raises(ClientGone):
        await sent(Client(b"half", hangs_up=True))

    body = await streamed(Client(b"x" * HELD_AT_ONCE, b"x", hangs_up=True))
    with pytest.raises(ClientGone):
        async for _ in body.parts():
            pass
    assert isinstance(body.trouble, ClientGone)


async def test_the_rest_of_a_refused_body_is_read_within_reason() -> None:
    client = Client(*[b"x" * 100] * 10)
    intake = Intake("POST", CHUNKED, client)

    await intake.hear_out(350)
    assert len(client.left) == 6

    for _ in range(2):
        await intake.hear_out(10_000)
        assert intake.is_complete()
        assert client.left == []


async def test_who_announces_far_too_much_or_hangs_up_is_not_waited_for() -> None:
    client = Client(b"untouched")
    await Intake("POST", LENGTH, client).hear_out(4)
    assert client.left

    gone = Intake("POST", CHUNKED, Client(b"half", hangs_up=True))
    await gone.hear_out(10_000)
    assert not gone.is_complete()


@pytest.mark.parametrize(
    ("size", "taken"),
    [
        # Who keeps up the rate may take as long as it takes.
        (100, 1000),
        # Every part is late by 0.9 s, which ten seconds pay for eleven times, not twelve.
        (10, 12),
    ],
)
async def test_who_trickles_is_cut_off_when_the_patience_is_used_up(size: int, taken: int) -> None:
    client = Client(*[b"x" * size] * 1000, seconds=1)
    paced = Paced(client, Patience(seconds=10, rate=100, now=client.clock))

    number = 0
    while client.left:
        try:
            await paced()
        except TooSlow:
            break
        number += 1

    assert number == taken


async def test_time_in_which_nobody_listens_does_not_count() -> None:
    client = Client(*[b"x" * 10] * 20)
    paced = Paced(client, Patience(seconds=1, rate=1000, now=client.clock))

    for _ in range(20):
        await paced()
        client.clock.advance(60)


async def never() -> Any:
    await asyncio.Event().wait()


async def test_a_fast_beginning_is_no_credit_for_a_rest() -> None:
    begun = False

    async def stall() -> Any:
        nonlocal begun
        if begun:
            await never()
        begun = True
        return {"type": "http.request", "body": b"x" * 1_000_000, "more_body": True}

    paced = Paced(stall, Patience(seconds=0.05, rate=1))
    await paced()
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(TooSlow):
            await paced()


async def test_who_waits_with_others_is_cut_off_alone() -> None:
    go_on = asyncio.Event()

    async def late() -> Any:
        await go_on.wait()
        return {"type": "http.request", "body": b"x" * 100}

    slow = asyncio.create_task(Paced(never, Patience(seconds=0.2, rate=1))())
    await asyncio.sleep(0)
    go_on.set()
    message = await Paced(late, Patience(seconds=PATIENCE_SECONDS, rate=1))()
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(TooSlow):
            await slow

    assert message["body"] == b"x" * 100
    assert slow.cancelling() == 0


async def test_who_gives_up_waiting_is_not_told_of_a_slow_client() -> None:
    waiting = asyncio.create_task(Paced(never, Patience(seconds=60, rate=1))())
    await asyncio.sleep(0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
