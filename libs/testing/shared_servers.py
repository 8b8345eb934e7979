"""Servers that all workers of a test run share, each started when a test first needs it.

They belong to the process that controls the run, because a worker may end before the others. A
worker requests the address of a server over a loopback connection.
"""

import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, TypeAlias

Endpoint: TypeAlias = tuple[str, int, str]
"""Host, port and password for requests of workers."""

Start: TypeAlias = Callable[[], tuple[AbstractContextManager[Any], str]]
"""Starts a server. Returns its context manager, which stops it, and its address."""


class NotStarted(Exception):
    """A server of the run could not be started; the message has the reason."""


class Servers:
    """The servers of a run by name: started on demand, stopped by `close`."""

    def __init__(self, starts: Mapping[str, Start]) -> None:
        self._closed = threading.Event()
        self._password = secrets.token_hex(16)
        self._servers = {name: _SharedServer(start, self._closed) for name, start in starts.items()}
        self._listener = Listener(("127.0.0.1", 0), authkey=self._password.encode())
        threading.Thread(target=self._listen, name="servers", daemon=True).start()

    @property
    def endpoint(self) -> Endpoint:
        """The argument of `address_of`, in this process or another."""
        host, port = self._listener.address
        return str(host), int(port), self._password

    def close(self) -> None:
        """Stop the servers that were started."""
        self._closed.set()
        self._listener.close()
        for server in self._servers.values():
            server.stop()

    def _listen(self) -> None:
        while not self._closed.is_set():
            with suppress(OSError, EOFError):
                connection = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        with connection, suppress(OSError, EOFError):
            try:
                connection.send((self._servers[connection.recv()].address(), ""))
            except Exception as error:  # noqa: BLE001  # it fails the worker's test
                connection.send((None, f"{type(error).__name__}: {error}"))


class _SharedServer:
    """One server, from the first request to the end of the run, in a thread of its own.

    The kernel ends a server when the thread that started it ends (see deploy.local.leash).
    """

    def __init__(self, start: Start, closed: threading.Event) -> None:
        self._start = start
        self._closed = closed
        self._address: Future[str] = Future()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def address(self) -> str:
        """The server's address once it is ready. Raises what starting it raised."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._live, name="server")
                self._thread.start()
        return self._address.result()

    def stop(self) -> None:
        """Wait for the end of the server, if it was started."""
        with self._lock:
            if self._thread is not None:
                self._thread.join()

    def _live(self) -> None:
        try:
            server, address = self._start()
        except BaseException as error:  # noqa: BLE001  # raised by `address`
            self._address.set_exception(error)
            return
        with server:
            self._address.set_result(address)
            self._closed.wait()


def address_of(name: str, endpoint: Endpoint) -> str:
    """The address of a server of the run, which is started if necessary. Raises NotStarted."""
    host, port, password = endpoint
    with Client((host, port), authkey=password.encode()) as connection:
        connection.send(name)
        address, fault = connection.recv()
    if address is None:
        raise NotStarted(f"{name}: {fault}")
    return str(address)
