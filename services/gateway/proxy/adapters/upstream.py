"""The services behind the doors: one pooled client for each, streaming both ways."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import aiohttp
from yarl import URL

from services.gateway.doors.adapters import answered
from services.gateway.proxy.adapters.breaker import Breaker
from services.gateway.proxy.adapters.exchange import Answer, Exchanges, is_plain

Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
Body: TypeAlias = bytes | AsyncIterator[bytes] | None
Reply: TypeAlias = aiohttp.ClientResponse | Answer

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
NEVER_REPEATED: Final = frozenset({"POST", "PATCH"})
ADDED_BY_AIOHTTP: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
KEEP_ALIVE_SECONDS: Final = 15.0
"""Shorter than any server's, so that the service is not the one to hang up on a request."""


class UpstreamAway(Exception):
    """The service could not be reached, and nothing was sent. Worth a try after some seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__()
        self.retry_after = retry_after


class UpstreamBroke(Exception):
    """The service hung up, or said nonsense; whether it acted is unknown."""


class UpstreamSlow(Exception):
    """The service did not begin to answer in time; whether it acted is unknown."""


class AnswerCutShort(Exception):
    """The service hung up in the middle of its answer, which the client has seen a part of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deadlines:
    """Seconds: to connect (or get a pooled connection), to the answer's head, between parts,
    whether they are waited for or not taken."""

    connect: float
    answer: float
    idle: float


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamRequest:
    """A request as it goes on. `target` is path and query, percent-encoded.

    `seconds` are those to the answer's head, if they are others than usual.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: Body
    seconds: float | None = None


class Upstream:
    """One service. Make it with `open_upstream`."""

    def __init__(
        self,
        origin: str,
        session: aiohttp.ClientSession,
        breaker: Breaker,
        deadlines: Deadlines,
    ) -> None:
        self.origin = origin.rstrip("/")
        self._session = session
        self._breaker = breaker
        self._exchanges = Exchanges(session, origin)
        self._deadlines = deadlines
        self._usual_timeout = _timeout(deadlines)

    async def relay(self, request: UpstreamRequest, receive: Receive, send: Send) -> None:
        """Ask the service and send its answer on, part by part as it comes.

        Raises UpstreamAway, UpstreamBroke, UpstreamSlow before anything was sent, AnswerCutShort
        after. Only safe methods are asked a second time, once, when the connection fails.
        """
        try:
            answer, first = await self._begun(request)
        except UpstreamBroke:
            # A body that was streamed is gone, even if the method is one that has none.
            if request.method not in SAFE or isinstance(request.body, AsyncIterator):
                raise
            answer, first = await self._begun(request)
        try:
            await self._answer(answer, first, receive, send)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise AnswerCutShort(type(error).__name__) from error
        finally:
            _let_go(answer)

    async def is_ready(self, path: str = "/ready", *, seconds: float = 1.0) -> bool:
        """Whether the service says so; never raises."""
        timeout = aiohttp.ClientTimeout(total=seconds)
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(f"{self.origin}{path}", timeout=timeout) as answer:
                return answer.status == 200
        return False

    async def document(self, path: str, *, most: int, seconds: float = 3.0) -> bytes | None:
        """What the service publishes there; None if it is away or gives more than `most` bytes."""
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
        if wait := self._breaker.refuses_for():
            raise UpstreamAway(wait)
        try:
            answer = await self._request(request)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._breaker.failed()
            raise UpstreamAway(1.0) from error
        except TimeoutError as error:
            self._breaker.undecided()
            raise UpstreamSlow from error
        except aiohttp.ClientError as error:
            self._breaker.undecided()
            raise UpstreamBroke(type(error).__name__) from error
        except BaseException:
            self._breaker.undecided()
            raise
        self._breaker.succeeded()
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
                body = _putting_off(deadline, seconds, body)
            return await self._session.request(
                request.method,
                URL(self.origin + request.target, encoded=True),
                headers=request.headers,
                data=body,
                allow_redirects=False,
                timeout=timeout,
                # What aiohttp never repeats needs nothing that keeps it from it.
                middlewares=() if request.method in NEVER_REPEATED else None,
            )

    async def _begun(self, request: UpstreamRequest) -> tuple[Reply, bytes]:
        """The answer's head, and with it the first part of its body if that comes at once.

        A head alone says nothing: a service that died behind it would look like one that had
        nothing to say.
        """
        answer = await self._ask(request)
        try:
            return answer, await answer.content.readany()
        except BaseException as error:
            _let_go(answer)
            if isinstance(error, TimeoutError):
                raise UpstreamSlow from error
            if isinstance(error, aiohttp.ClientError):
                raise UpstreamBroke(type(error).__name__) from error
            raise

    async def _answer(self, answer: Reply, first: bytes, receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": answered(answer.raw_headers),
            }
        )
        whole = answer.content.at_eof()
        await send({"type": "http.response.body", "body": first, "more_body": not whole})
        if not whole:
            await cancel_on_disconnect(receive, _rest(answer.content, send, self._deadlines.idle))


def _let_go(answer: Reply) -> None:
    """Only a connection on which nothing is left to be read can be used again."""
    answer.release() if answer.content.at_eof() else answer.close()


def _timeout(deadlines: Deadlines, seconds: float | None = None) -> aiohttp.ClientTimeout:
    # Whoever may take long to begin is silent until then.
    return aiohttp.ClientTimeout(
        total=None,
        connect=deadlines.connect,
        sock_connect=deadlines.connect,
        sock_read=max(deadlines.idle, seconds or 0.0),
    )


async def _putting_off(
    deadline: asyncio.Timeout, seconds: float, body: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """The body; the time to answer begins anew with every part that is sent."""
    async for part in body:
        yield part
        # The service may have answered before it had all, and then there is nothing to put off.
        with suppress(RuntimeError):
            deadline.reschedule(asyncio.get_running_loop().time() + seconds)


async def _rest(content: aiohttp.StreamReader, send: Send, seconds: float) -> None:
    while part := await content.readany():
        # A client that takes nothing must not keep the service's connection.
        async with asyncio.timeout(seconds):
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def open_upstream(
    origin: str, *, connections: int, breaker: Breaker, deadlines: Deadlines
) -> AsyncIterator[Upstream]:
    """The client of the service at `origin` (scheme, host, port), closed at the end."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEP_ALIVE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_timeout(deadlines),
        auto_decompress=False,
        skip_auto_headers=ADDED_BY_AIOHTTP,
        middlewares=(no_retry,),
    )
    async with session:
        yield Upstream(origin, session, breaker, deadlines)


class _Lost(aiohttp.ClientError):
    """A lost connection, by a name that aiohttp does not answer with a retry of its own."""


async def no_retry(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep it from repeating PUT and DELETE by itself on a connection that was closed."""
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
    """Run `sending` to its end, or until the client hangs up."""
    task = asyncio.ensure_future(sending)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
