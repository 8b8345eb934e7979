"""The services behind the doors: one pooled client for each, streaming both ways."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import aiohttp
from yarl import URL

from services.gateway.doors.adapters import returned
from services.gateway.doors.domain.doors import DOORS
from services.gateway.proxy.adapters.exchange import Answer, Connector, Exchanges, is_plain
from services.gateway.settings import Settings

Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
Body: TypeAlias = bytes | AsyncIterator[bytes] | None
Reply: TypeAlias = aiohttp.ClientResponse | Answer

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
NEVER_REPEATED: Final = frozenset({"POST", "PATCH"})
ADDED_BY_AIOHTTP: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
KEEP_ALIVE_SECONDS: Final = 15.0
"""Shorter than that of the services, so that they do not close a connection in use."""


class UpstreamAway(Exception):
    """The service could not be reached; nothing was sent. Retry after `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__()
        self.retry_after = retry_after


class UpstreamBroke(Exception):
    """The service closed the connection or answered malformed; whether it acted is unknown."""


class UpstreamSlow(Exception):
    """The service did not begin to answer in time; whether it acted is unknown."""


class AnswerCutShort(Exception):
    """The service closed the connection within its answer, a part of which the client has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deadlines:
    """Seconds to connect (or get a pooled connection), to the head of the answer, and between
    parts of it, received or sent."""

    connect: float
    answer: float
    idle: float


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamRequest:
    """A request to a service. `target` is path and query, percent-encoded.

    `seconds` overrides the deadline for the head of the answer.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: Body
    seconds: float | None = None


class CircuitBreaker:
    """Opens after `failures` in a row; after `seconds` it lets one trial request through.

    Every request that was let through must end in `record_failure`, `record_success` or
    `record_cancelled`, or a trial would never end.
    """

    def __init__(
        self, *, failures: int, seconds: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._seconds = seconds
        self._now = now
        self._failures = 0
        self._open_until = 0.0
        self._trying = False

    def seconds_to_wait(self) -> float:
        """Seconds until a request may be sent; 0.0 lets this one through, as the trial if open."""
        if self._failures < self._limit:
            return 0.0
        wait = self._open_until - self._now()
        if wait > 0:
            return wait
        if self._trying:
            return self._seconds
        self._trying = True
        return 0.0

    def record_failure(self) -> None:
        """The service could not be reached."""
        self._failures += 1
        self._trying = False
        if self._failures >= self._limit:
            self._open_until = self._now() + self._seconds

    def record_success(self) -> None:
        """The service answered, with any status."""
        self._failures = 0
        self._trying = False

    def record_cancelled(self) -> None:
        """The request ended before its outcome was known."""
        self._trying = False


class Upstream:
    """The client of one service: see `open_upstream`."""

    def __init__(
        self,
        origin: str,
        session: aiohttp.ClientSession,
        breaker: CircuitBreaker,
        deadlines: Deadlines,
    ) -> None:
        self.origin = origin.rstrip("/")
        self._session = session
        self._breaker = breaker
        self._exchanges = Exchanges(session, origin)
        self._deadlines = deadlines
        self._usual_timeout = _timeout(deadlines)

    async def relay(self, request: UpstreamRequest, receive: Receive, send: Send) -> None:
        """Send the request to the service and stream its answer to the client.

        Raises UpstreamAway, UpstreamBroke, UpstreamSlow before anything was sent, AnswerCutShort
        after. Safe methods are retried once if the connection fails.
        """
        try:
            answer, first = await self._start(request)
        except UpstreamBroke:
            # A streamed body cannot be sent again, even with a safe method.
            if request.method not in SAFE or isinstance(request.body, AsyncIterator):
                raise
            answer, first = await self._start(request)
        try:
            await self._send_answer(answer, first, receive, send, self._idle_seconds(request))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise AnswerCutShort(type(error).__name__) from error
        finally:
            _release(answer)

    async def is_ready(self, path: str = "/ready", *, seconds: float = 1.0) -> bool:
        """Whether the service is ready; never raises."""
        timeout = aiohttp.ClientTimeout(total=seconds)
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(f"{self.origin}{path}", timeout=timeout) as answer:
                return answer.status == 200
        return False

    async def document(self, path: str, *, most: int, seconds: float = 3.0) -> bytes | None:
        """The document at a path of the service; None if unavailable or over `most` bytes."""
        timeout = aiohttp.ClientTimeout(total=seconds)
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(f"{self.origin}{path}", timeout=timeout) as answer:
                if answer.status != 200:
                    return None
                content = b""
                async for part in answer.content.iter_any():
                    content += part
                    if len(content) > most:
                        return None
                return content
        return None

    async def _ask(self, request: UpstreamRequest) -> Reply:
        if wait := self._breaker.seconds_to_wait():
            raise UpstreamAway(wait)
        try:
            answer = await self._request(request)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._breaker.record_failure()
            raise UpstreamAway(1.0) from error
        except TimeoutError as error:
            self._breaker.record_cancelled()
            raise UpstreamSlow from error
        except aiohttp.ClientError as error:
            self._breaker.record_cancelled()
            raise UpstreamBroke(type(error).__name__) from error
        except BaseException:
            self._breaker.record_cancelled()
            raise
        self._breaker.record_success()
        return answer

    async def _request(self, request: UpstreamRequest) -> Reply:
        seconds = request.seconds or self._deadlines.answer
        timeout = self._usual_timeout
        if request.seconds is not None:
            timeout = _timeout(self._deadlines, request.seconds)
        async with asyncio.timeout(seconds) as deadline:
            body = request.body
            if not isinstance(body, AsyncIterator) and is_plain(request.target):
                return await self._exchanges.ask(
                    request.method, request.target, request.headers, body, timeout
                )
            if isinstance(body, AsyncIterator):
                body = _extending_deadline(deadline, seconds, body)
            return await self._session.request(
                request.method,
                URL(self.origin + request.target, encoded=True),
                headers=request.headers,
                data=body,
                allow_redirects=False,
                timeout=timeout,
                # aiohttp does not retry these methods, so they need no `no_retry`.
                middlewares=() if request.method in NEVER_REPEATED else None,
            )

    async def _start(self, request: UpstreamRequest) -> tuple[Reply, bytes]:
        """The head of the answer and the first part of its body.

        With the head alone, a service that died after it would look like an empty answer.
        """
        answer = await self._ask(request)
        try:
            return answer, await _next_part(answer.content, self._idle_seconds(request))
        except BaseException as error:
            _release(answer)
            if isinstance(error, TimeoutError):
                raise UpstreamSlow from error
            if isinstance(error, aiohttp.ClientError):
                raise UpstreamBroke(type(error).__name__) from error
            raise

    def _idle_seconds(self, request: UpstreamRequest) -> float:
        return max(self._deadlines.idle, request.seconds or 0.0)

    async def _send_answer(
        self, answer: Reply, first: bytes, receive: Receive, send: Send, seconds: float
    ) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": returned(answer.raw_headers),
            }
        )
        whole = answer.content.at_eof()
        await send({"type": "http.response.body", "body": first, "more_body": not whole})
        if not whole:
            rest = _send_rest(answer.content, send, seconds, self._deadlines.idle)
            await cancel_on_disconnect(receive, rest)


def _release(answer: Reply) -> None:
    """Return the connection to the pool if the answer was read completely, else close it."""
    answer.release() if answer.content.at_eof() else answer.close()


def _timeout(deadlines: Deadlines, seconds: float | None = None) -> aiohttp.ClientTimeout:
    # The time to read includes the time until the answer begins.
    return aiohttp.ClientTimeout(
        total=None,
        connect=deadlines.connect,
        sock_connect=deadlines.connect,
        sock_read=max(deadlines.idle, seconds or 0.0),
    )


async def _extending_deadline(
    deadline: asyncio.Timeout, seconds: float, body: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """The body; every part that is sent restarts the deadline."""
    async for part in body:
        yield part
        # The service may answer before the body was sent completely: the timeout is over then.
        with suppress(RuntimeError):
            deadline.reschedule(asyncio.get_running_loop().time() + seconds)


async def _next_part(content: aiohttp.StreamReader, seconds: float) -> bytes:
    # After a chunk that it cannot read, aiohttp ends neither the body nor its own timeout.
    async with asyncio.timeout(seconds):
        return await content.readany()


async def _send_rest(
    content: aiohttp.StreamReader, send: Send, receive_seconds: float, send_seconds: float
) -> None:
    while part := await _next_part(content, receive_seconds):
        # A client that does not read must not block the service's connection.
        async with asyncio.timeout(send_seconds):
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def open_upstream(
    origin: str, *, connections: int, breaker: CircuitBreaker, deadlines: Deadlines
) -> AsyncIterator[Upstream]:
    """The client of the service at `origin` (scheme, host, port), closed at the end."""
    session = aiohttp.ClientSession(
        connector=Connector(limit=connections, keepalive_timeout=KEEP_ALIVE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_timeout(deadlines),
        auto_decompress=False,
        skip_auto_headers=ADDED_BY_AIOHTTP,
        middlewares=(no_retry,),
    )
    async with session:
        yield Upstream(origin, session, breaker, deadlines)


@asynccontextmanager
async def open_upstreams(settings: Settings) -> AsyncIterator[Mapping[str, Upstream]]:
    """One client per installed service behind a door, by the service's name."""
    deadlines = Deadlines(
        connect=settings.connect_seconds,
        answer=settings.answer_seconds,
        idle=settings.idle_seconds,
    )
    async with AsyncExitStack() as stack:
        upstreams = {}
        for service in {door.service for door in DOORS if door.rules}:
            opened = open_upstream(
                settings.origin_of(service),
                connections=settings.upstream_connections,
                breaker=CircuitBreaker(
                    failures=settings.breaker_failures, seconds=settings.breaker_seconds
                ),
                deadlines=deadlines,
            )
            upstreams[service] = await stack.enter_async_context(opened)
        yield upstreams


class _Lost(aiohttp.ClientError):
    """A lost connection, as an error for which aiohttp does not retry."""


async def no_retry(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Middleware that keeps aiohttp from retrying PUT and DELETE on a closed connection."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except aiohttp.ServerTimeoutError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Lost from error


async def cancel_on_disconnect(
    receive: Callable[[], Awaitable[Any]], sending: Awaitable[None]
) -> None:
    """Run `sending` to its end, or cancel it when the client disconnects."""
    task = asyncio.ensure_future(sending)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for pending in (task, gone):
            pending.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
