"""Sends a request with a complete body in one write on a pooled connection.

Connections, the pool and the parser of answers are aiohttp's. A `ClientSession` also prepares
cookies, redirects, middlewares and payloads for every request. A proxy needs none of them, and they
take longer than the rest.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace
from yarl import URL

BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that are sent without a Content-Length if they have no body."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def is_plain(target: str) -> bool:
    """Whether a target can be written to the request line without encoding it."""
    return target.isascii() and " " not in target and "#" not in target


class Connector(aiohttp.TCPConnector):
    """A pool that gives out no connection on which something was received while it was idle.

    aiohttp would take that for the answer to the next request.
    """

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 -- as in aiohttp
    ) -> Connection:
        """A connection from the pool, or a new one."""
        while True:
            connection = await super().connect(req, traces, timeout)
            # A new connection has no parser yet, so it has no answers.
            if connection.protocol is None or len(connection.protocol) == 0:
                return connection
            connection.close()


class Answer:
    """The head of an answer and the reader of its body. The caller releases or closes it."""

    __slots__ = ("_connection", "content", "raw_headers", "status")

    def __init__(
        self,
        connection: Connection,
        status: int,
        raw_headers: Sequence[tuple[bytes, bytes]],
        content: StreamReader,
    ) -> None:
        self._connection = connection
        self.status = status
        self.raw_headers = raw_headers
        self.content = content

    def release(self) -> None:
        """Return the connection to the pool; call it when the body was read. Idempotent.

        Closes it if the service answered before all of the request was sent.
        """
        transport = self._connection.transport
        if transport is not None and transport.get_write_buffer_size():
            self._connection.close()
        else:
            self._connection.release()

    def close(self) -> None:
        """Close the connection, and drop the rest of the body. Idempotent."""
        self._connection.close()


class Exchanges:
    """Sends requests to one origin on the connections of a session."""

    def __init__(self, session: aiohttp.ClientSession, origin: str) -> None:
        if session.connector is None:
            raise ValueError("the session is closed")
        self._connector = session.connector
        url = URL(origin)
        self._host = str(url.host_port_subcomponent)
        # The pool finds connections by it; it is never sent.
        self._template = ClientRequest("GET", url, loop=asyncio.get_running_loop(), session=session)

    async def ask(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        limits: aiohttp.ClientTimeout,
    ) -> Answer:
        """Send a request and wait for the head of its answer.

        Uses `connect`, `sock_connect` and `sock_read` of `limits`. Raises aiohttp.ClientError, and
        ValueError before anything is sent if the head contains a control character.
        """
        head = _head(method, target, self._host, headers, body)
        try:
            connection = await self._connector.connect(self._template, traces=[], timeout=limits)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(self._host) from error
        try:
            return await self._send(connection, method, head, body, limits)
        except BaseException:
            connection.close()
            raise

    async def _send(
        self,
        connection: Connection,
        method: str,
        head: bytes,
        body: bytes | None,
        limits: aiohttp.ClientTimeout,
    ) -> Answer:
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            raise aiohttp.ServerDisconnectedError
        protocol.set_response_params(
            skip_payload=method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=limits.sock_read,
        )
        transport.write(head + body if body else head)
        protocol.start_timeout()
        try:
            message, content = await protocol.read()
            # Interim answers: the gateway sends no Expect header.
            while 100 <= message.code < 200 and message.code != 101:
                message, content = await protocol.read()
        except HttpProcessingError as error:
            raise aiohttp.ClientPayloadError(error.message) from error
        if message.code < 200:
            raise aiohttp.ClientPayloadError(f"an answer with the status {message.code}")
        return Answer(connection, message.code, message.raw_headers, content)


def _head(
    method: str,
    target: str,
    host: str,
    headers: Sequence[tuple[str, str]],
    body: bytes | None,
) -> bytes:
    """The request line and the headers. Raises ValueError."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None or method not in BODILESS:
        lines.append(f"Content-Length: {len(body or b'')}")
    lines += ("", "")
    text = "".join(lines)
    if not text.isprintable() and _CONTROL.search(text):
        raise ValueError("the head contains a control character")
    return "\r\n".join(lines).encode()
