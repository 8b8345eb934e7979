"""`Idempotency-Key`: a repeated request gets the answer of the first."""

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
    Claim,
    IdempotencyStore,
    InFlight,
    RequestFingerprint,
    StoredResponse,
)

HEADER: Final = b"idempotency-key"
KEY: Final = re.compile(rb"[\x21-\x7e]{1,255}")
MAX_REQUEST_BYTES: Final = 1024 * 1024
"""The largest body of a request: all of it is read to be compared."""
MAX_STORED_BYTES: Final = 256 * 1024
"""The largest body of an answer that is stored. Of a larger one only the status is."""
SPARE_SECONDS: Final = 5.0
"""Time to store the answer, after the time of the service."""
NOT_FINAL: Final = frozenset({401, 403, 408, 409, 429})
"""Statuses that are not stored: a repetition may have another outcome."""
STORED_HEADERS: Final = frozenset(
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
    """The fingerprint of the request. Raises Fault for a malformed key."""
    key = headers[HEADER]
    if not KEY.fullmatch(key):
        raise fault.bad_idempotency_key()
    kind = headers.get(b"content-type", b"")
    parts = (method.encode(), target.encode(), kind, content)
    digest = sha256(b"".join(sha256(part).digest() for part in parts)).digest()
    return RequestFingerprint(
        tenant=caller.tenant,
        caller=str(caller.subject),
        key=sha256(key).digest(),
        fingerprint=digest,
    )


async def once(
    idempotency_store: IdempotencyStore,
    fingerprint: RequestFingerprint,
    send: Send,
    relay: Callable[[Send], Awaitable[None]],
    *,
    seconds: float,
) -> None:
    """Let `relay` answer within `seconds`, or replay its stored answer.

    Raises what `relay` raises: Fault, AnswerCutShort. After a timeout the service may still act, so
    the claim stays until its deadline.
    """
    claim = await _claimed(idempotency_store, fingerprint, seconds + SPARE_SECONDS)
    if isinstance(claim, StoredResponse):
        return await _replay(claim, send)
    sender = _StoringSender(idempotency_store, claim, send)
    try:
        async with asyncio.timeout(seconds) as sender.deadline:
            await relay(sender.send)
    except TimeoutError:
        raise fault.timed_out() from None
    except fault.Fault as error:
        if error.status != HTTPStatus.GATEWAY_TIMEOUT:
            await _safely(idempotency_store.release(claim))
        raise
    except AnswerCutShort:
        # The service acted and its answer is lost: it must not act again.
        await sender.lose()
        if sender.started:
            raise
        raise fault.bad_gateway() from None


class _StoringSender:
    """A `send` that stores the answer before it sends it to the client.

    So a client never sees an answer that a repetition would not get.
    """

    def __init__(self, idempotency_store: IdempotencyStore, claim: Claim, send: Send) -> None:
        self.started = False
        self.deadline: asyncio.Timeout | None = None
        self._idempotency_store = idempotency_store
        self._claim = claim
        self._send = send
        self._start: Any = None
        self._body = b""

    async def send(self, message: Any) -> None:
        """Take one ASGI message of the answer."""
        if self.started:
            return await self._send(message)
        if message["type"] == "http.response.start":
            self._start = message
            return None
        self._body += message.get("body", b"")
        more: bool = message.get("more_body", False)
        if more and len(self._body) <= MAX_STORED_BYTES:
            return None
        await self._store(self._body if len(self._body) <= MAX_STORED_BYTES else None)
        self.started = True
        if self.deadline is not None:
            self.deadline.reschedule(None)
        await self._send(self._start)
        return await self._send({**message, "body": self._body})

    async def lose(self) -> None:
        """Store that the answer broke off."""
        if not self.started and self._start is not None:
            await self._store(None)

    async def _store(self, body: bytes | None) -> None:
        status: int = self._start["status"]
        if status in NOT_FINAL or not (200 <= status < 300 or 400 <= status < 500):
            return await _safely(self._idempotency_store.release(self._claim))
        headers = [(n, v) for n, v in self._start["headers"] if n in STORED_HEADERS]
        response = StoredResponse(status=status, headers=headers, body=body)
        return await _safely(self._idempotency_store.finish(self._claim, response))


async def _claimed(
    idempotency_store: IdempotencyStore, fingerprint: RequestFingerprint, seconds: float
) -> Claim | StoredResponse:
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
    """Do the work; without the database log it, since the claim expires by itself."""
    try:
        await work
    except AWAY as error:
        log.warning("answer not kept", reason=type(error).__name__)


async def _replay(response: StoredResponse, send: Send) -> None:
    if response.body is None:
        raise fault.already_done()
    headers = [*response.headers, REPLAYED]
    if response.status != HTTPStatus.NO_CONTENT:
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
