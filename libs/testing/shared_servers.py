"""Servers that all workers of a test run share, each started when a test first asks for it.

They belong to the process that steers the run, because a worker may end before the others. A
worker asks over a loopback connection and waits for the address.
"""

import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, TypeAlias

Door: TypeAlias = tuple[str, int, str]
"""Host, port and password at which workers ask."""

Start: TypeAlias = Callable[[], tuple[AbstractContextManager[Any], str]]
"""Starts a server; the server, which ends when it is left, and its address once it is ready."""


class NotStarted(Exception):
    """A server of the run could not be started; the message says why."""


class Servers:
    """Starts the servers of a run by their names; stops them at `close`."""

    def __init__(self, starts: Mapping[str, Start]) -> None:
        self._over = threading.Event()
        self._password = secrets.token_hex(16)
        self._servers = {name: _Kept(start, self._over) for name, start in starts.items()}
        self._listener = Listener(("127.0.0.1", 0), authkey=self._password.encode())
        threading.Thread(target=self._listen, name="servers", daemon=True).start()

    @property
    def door(self) -> Door:
        """What `address_of` needs to know, in this process or in another."""
        host, port = self._listener.address
        return str(host), int(port), self._password

    def close(self) -> None:
        """Stop what was started."""
        self._over.set()
        self._listener.close()
        for server in self._servers.values():
            server.stop()

    def _listen(self) -> None:
        while not self._over.is_set():
            with suppress(OSError, EOFError):
                asking = self._listener.accept()
                threading.Thread(target=self._answer, args=(asking,), daemon=True).start()

    def _answer(self, asking: Connection) -> None:
        with asking, suppress(OSError, EOFError):
            try:
                asking.send((self._servers[asking.recv()].address(), ""))
            except Exception as error:  # noqa: BLE001  # it fails the worker's test
                asking.send((None, f"{type(error).__name__}: {error}"))


class _Kept:
    """One server, from the first question to the end of the run, in a thread of its own.

    The kernel ends a server when the thread that started it ends (see deploy.local.leash).
    """

    def __init__(self, start: Start, over: threading.Event) -> None:
        self._start = start
        self._over = over
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
        """Wait for the orderly end of what was started."""
        with self._lock:
            if self._thread is not None:
                self._thread.join()

    def _live(self) -> None:
        try:
            server, address = self._start()
        except BaseException as error:  # noqa: BLE001  # raised where the address is asked
            self._address.set_exception(error)
            return
        with server:
            self._address.set_result(address)
            self._over.wait()


def address_of(name: str, door: Door) -> str:
    """The address of a server of the run, started now if need be. Raises NotStarted."""
    host, port, password = door
    with Client((host, port), authkey=password.encode()) as asking:
        asking.send(name)
        address, fault = asking.recv()
    if address is None:
        raise NotStarted(f"{name}: {fault}")
    return str(address)
