"""The TCP connection of an operation, with limits on time and size."""

import errno
import socket
import time
from dataclasses import dataclass
from selectors import EVENT_WRITE, DefaultSelector
from typing import Final

from services.scale_bridge.driver.adapters.deadline import Deadline
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.fault import BadAnswer, Disconnected, Timeout, Unreachable
from services.scale_bridge.driver.domain.wire import FRAME_BYTES, PREFIX_BYTES

_CONNECTING: Final = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK})
_READ_AT_ONCE: Final = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The longest time for each part of an operation, and the largest frame."""

    connect_seconds: float = 10.0
    reply_seconds: float = 10.0
    frame_bytes: int = FRAME_BYTES


class Connection:
    """A socket with the interface the driver expects, within the limits. It logs no address."""

    def __init__(self, endpoint: Endpoint, limits: Limits, deadline: Deadline) -> None:
        self._limits = limits
        self._deadline = deadline
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connect((str(endpoint.address), endpoint.port))
        except BaseException:
            self.close()
            raise

    def sendall(self, data: bytes) -> None:
        """Send a whole frame. Raises Timeout, Disconnected."""
        view = memoryview(data)
        until = time.monotonic() + self._limits.reply_seconds
        while view:
            self._socket.settimeout(self._slice(until))
            try:
                view = view[self._socket.send(view) :]
            except TimeoutError:
                continue
            except OSError:
                raise Disconnected from None

    def frame(self) -> bytes:
        """The body of the next frame. Raises Timeout, Disconnected, BadAnswer."""
        until = time.monotonic() + self._limits.reply_seconds
        size = int.from_bytes(self._exactly(PREFIX_BYTES, until), "little")
        if not 0 < size <= self._limits.frame_bytes:
            raise BadAnswer("The scale announced a frame that is empty or too long.")
        return self._exactly(size, until)

    def settimeout(self, _: float | None) -> None:
        """Ignored: the limits apply, not the driver's timeouts."""

    def getsockname(self) -> str:
        """A name for texts of the driver that are not used. Unlike a socket's, never fails."""
        return "bridge"

    def getpeername(self) -> str:
        """See `getsockname`."""
        return "scale"

    def close(self) -> None:
        """Close the connection. Safe to repeat."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        finally:
            self._socket.close()

    def _connect(self, address: tuple[str, int]) -> None:
        until = time.monotonic() + self._limits.connect_seconds
        self._socket.setblocking(False)
        if self._socket.connect_ex(address) not in _CONNECTING:
            raise Unreachable
        with DefaultSelector() as selector:
            selector.register(self._socket, EVENT_WRITE)
            while not selector.select(self._deadline.slice()):
                if time.monotonic() > until:
                    raise Unreachable
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            # A reset shows that the peer was there.
            raise Disconnected if error == errno.ECONNRESET else Unreachable

    def _exactly(self, size: int, until: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._socket.settimeout(self._slice(until))
            try:
                more = self._socket.recv(min(size - len(data), _READ_AT_ONCE))
            except TimeoutError:
                continue
            except OSError:
                raise Disconnected from None
            if not more:
                raise Disconnected
            data += more
        return bytes(data)

    def _slice(self, until: float) -> float:
        left = until - time.monotonic()
        if left <= 0:
            raise Timeout
        return min(left, self._deadline.slice())
