"""`Idempotency-Key`: a repeated request gets the first one's answer."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Final

import asyncpg
import structlog

from libs.errors import Unavailable
from services.gateway.doors.api import fault
from services.gateway.doors.api.cors import Send
from services.gateway.doors.domain.caller import Caller
from services.gateway.proxy.adapters.upstream import AnswerCutShort
from services.gateway.proxy.stores import (
    AnotherRequest,
    Answer,
    Claim,
    IdempotencyStore,
    InFlight,
    RequestFingerprint,
)

HEADER: Final = b"idempotency-key"
KEY: Final = re.compile(rb"[\x21-\x7e]{1,255}")
MOST_ASKED: Final = 1024 * 1024
"""Bytes of a request's body: all of it is held to be compared."""
MOST_KEPT: Final = 256 * 1024
"""Bytes of an answer's body. Of a longer one only the status is kept."""
SPARE_SECONDS: Final = 5.0
"""For keeping the answer, after the service had its time."""
NOT_FINAL: Final = frozenset({401, 403, 408, 409, 429})
"""What a client may hear once, and something else the next time."""
MATTER: Final = frozenset(
    {
        b"cache-control",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-type",
        b"etag",
        b"last-modified",
        b"link",
        b"location",
        b"x-consistency-token",
    }
)
REPLAYED: Final = (b"idempotency-replayed", b"true")
AWAY: Final = (Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

log = structlog.get_logger(__name__)


def fingerprint_of(
    caller: Caller, headers: Mapping[bytes, bytes], method: str, target: str, content: bytes
) -> RequestFingerprint:
    """What identifies the request. Raises Fault if the key is not acceptable."""
    key = headers[HEADER]
    if not KEY.fullmatch(key):
        raise fault.bad_idempotency_key()
    kind = headers.get(b"content-type", b"")
    parts = (method.encode(), target.encode(), kind, content)
    print_ = sha256(b"".join(sha256(part).digest() for part in parts)).digest()
    return RequestFingerprint(
        tenant=caller.tenant,
        caller=str(caller.subject),
        key=sha256(key).digest(),
        fingerprint=print_,
    )


async def once(
    idempotency_store: IdempotencyStore,
    fingerprint: RequestFingerprint,
    send: Send,
    relay: Callable[[Send], Awaitable[None]],
    *,
    seconds: float,
) -> None:
    """Let `relay` answer, unless it did before; `seconds` is the longest it may take.

    `relay` raises Fault, or AnswerCutShort; a service that was too slow may still be at work, so
    the claim then stays until its deadline. Raises the same.
    """
    claim = await _claimed(idempotency_store, fingerprint, seconds + SPARE_SECONDS)
    if isinstance(claim, Answer):
        return await _repeat(claim, send)
    keeping = _Keeping(idempotency_store, claim, send)
    try:
        async with asyncio.timeout(seconds) as keeping.deadline:
            await relay(keeping.send)
    except TimeoutError:
        raise fault.timed_out() from None
    except fault.Fault as no:
        if no.status != HTTPStatus.GATEWAY_TIMEOUT:
            await _safely(idempotency_store.release(claim))
        raise
    except AnswerCutShort:
        # The service did it, and the answer is lost: that must not be done again.
        await keeping.lose()
        if keeping.begun:
            raise
        raise fault.bad_gateway() from None


class _Keeping:
    """The way back to the client: an answer is kept first, and then sent.

    So nobody has seen an answer that a repetition would not get.
    """

    def __init__(self, idempotency_store: IdempotencyStore, claim: Claim, send: Send) -> None:
        self.begun = False
        self.deadline: asyncio.Timeout | None = None
        self._answers = idempotency_store
        self._claim = claim
        self._send = send
        self._start: Any = None
        self._body = b""

    async def send(self, message: Any) -> None:
        """Take one message of the answer."""
        if self.begun:
            return await self._send(message)
        if message["type"] == "http.response.start":
            self._start = message
            return None
        self._body += message.get("body", b"")
        more: bool = message.get("more_body", False)
        if more and len(self._body) <= MOST_KEPT:
            return None
        await self._store(self._body if len(self._body) <= MOST_KEPT else None)
        self.begun = True
        if self.deadline is not None:
            self.deadline.reschedule(None)
        await self._send(self._start)
        return await self._send({**message, "body": self._body})

    async def lose(self) -> None:
        """The answer broke off."""
        if not self.begun and self._start is not None:
            await self._store(None)

    async def _store(self, body: bytes | None) -> None:
        status: int = self._start["status"]
        if status in NOT_FINAL or not (200 <= status < 300 or 400 <= status < 500):
            return await _safely(self._answers.release(self._claim))
        headers = [(n, v) for n, v in self._start["headers"] if n in MATTER]
        kept = Answer(status=status, headers=headers, body=body)
        return await _safely(self._answers.finish(self._claim, kept))


async def _claimed(
    idempotency_store: IdempotencyStore, fingerprint: RequestFingerprint, seconds: float
) -> Claim | Answer:
    try:
        return await idempotency_store.claim(fingerprint, seconds=seconds)
    except InFlight as other:
        raise fault.in_flight(other.retry_after) from other
    except AnotherRequest as other:
        raise fault.another_request() from other
    except AWAY as error:
        log.warning("answers unavailable", reason=type(error).__name__)
        raise fault.unavailable(2) from error


async def _safely(work: Awaitable[None]) -> None:
    """Whoever waits for the answer gets it; without the database the claim runs out by itself."""
    try:
        await work
    except AWAY as error:
        log.warning("answer not kept", reason=type(error).__name__)


async def _repeat(answer: Answer, send: Send) -> None:
    if answer.body is None:
        raise fault.already_done()
    headers = [*answer.headers, REPLAYED]
    if answer.status != HTTPStatus.NO_CONTENT:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
