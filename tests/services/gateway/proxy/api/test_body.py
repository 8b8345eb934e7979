"""How much of a request's body is taken, and how it goes on."""

from collections.abc import Sequence
from typing import Any

import pytest

from services.gateway.doors.api.fault import Fault
from services.gateway.proxy.api.body import MAX_BUFFERED_BYTES, Body, BodyReader, ClientGone, read

LENGTH = [(b"content-length", b"5")]
CHUNKED = [(b"transfer-encoding", b"chunked")]
LIMIT = 4 * MAX_BUFFERED_BYTES


class Client:
    """Sends its parts; then it is complete, or gone."""

    def __init__(self, *parts: bytes, hangs_up: bool = False) -> None:
        self.left = list(parts)
        self.hangs_up = hangs_up

    async def __call__(self) -> Any:
        if not self.left:
            return {"type": "http.disconnect"}
        part = self.left.pop(0)
        more = bool(self.left) or self.hangs_up
        return {"type": "http.request", "body": part, "more_body": more}


async def sent(
    client: Client, headers: Sequence[tuple[bytes, bytes]] = CHUNKED
) -> bytes | Body | None:
    return await read(BodyReader("POST", headers, client), limit=LIMIT)


async def streamed(client: Client) -> Body:
    body = await sent(client)
    assert isinstance(body, Body)
    return body


async def test_a_small_body_goes_on_in_one_piece_and_none_is_not_waited_for() -> None:
    assert await sent(Client(b"he", b"llo"), LENGTH) == b"hello"

    client = Client(b"untouched")
    assert await read(BodyReader("GET", [], client), limit=LIMIT) is None
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
    part = b"x" * MAX_BUFFERED_BYTES
    client = Client(part, part, b"end")

    body = await streamed(client)
    assert client.left == [b"end"]

    assert b"".join([part async for part in body.parts()]) == part * 2 + b"end"


async def test_an_unannounced_body_is_cut_off_when_it_becomes_too_large() -> None:
    client = Client(*[b"x" * MAX_BUFFERED_BYTES] * 10)

    body = await streamed(client)
    with pytest.raises(Fault) as no:
        async for _ in body.parts():
            pass

    assert no.value.status == 413
    assert body.failure is no.value
    assert len(client.left) == 5


async def test_half_a_body_is_never_taken_for_a_whole_one() -> None:
    with pytest.raises(ClientGone):
        await sent(Client(b"half", hangs_up=True))

    body = await streamed(Client(b"x" * MAX_BUFFERED_BYTES, b"x", hangs_up=True))
    with pytest.raises(ClientGone):
        async for _ in body.parts():
            pass
    assert isinstance(body.failure, ClientGone)


async def test_the_rest_of_a_refused_body_is_read_within_reason() -> None:
    client = Client(*[b"x" * 100] * 10)
    body_reader = BodyReader("POST", CHUNKED, client)

    await body_reader.drain(350)
    assert len(client.left) == 6

    for _ in range(2):
        await body_reader.drain(10_000)
        assert body_reader.is_complete()
        assert client.left == []


async def test_a_far_too_large_or_broken_body_is_not_drained() -> None:
    client = Client(b"untouched")
    await BodyReader("POST", LENGTH, client).drain(4)
    assert client.left

    gone = BodyReader("POST", CHUNKED, Client(b"half", hangs_up=True))
    await gone.drain(10_000)
    assert not gone.is_complete()
