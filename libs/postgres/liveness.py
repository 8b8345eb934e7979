"""Connections on which both sides detect that the other one has vanished."""

import socket
from typing import Any, Final

import asyncpg

IDLE_SECONDS: Final = 5
INTERVAL_SECONDS: Final = 2
PROBES: Final = 3
UNACKNOWLEDGED_SECONDS: Final = 10

SERVER_SETTINGS: Final = {
    "tcp_keepalives_idle": str(IDLE_SECONDS),
    "tcp_keepalives_interval": str(INTERVAL_SECONDS),
    "tcp_keepalives_count": str(PROBES),
    "tcp_user_timeout": f"{UNACKNOWLEDGED_SECONDS}s",
}
"""For the start-up packet: a backend whose client has vanished ends after about ten seconds and
releases its locks. No effect on a Unix socket."""

_OPTIONS: Final = {
    "TCP_KEEPIDLE": IDLE_SECONDS,
    "TCP_KEEPALIVE": IDLE_SECONDS,  # as macOS calls it
    "TCP_KEEPINTVL": INTERVAL_SECONDS,
    "TCP_KEEPCNT": PROBES,
    "TCP_USER_TIMEOUT": UNACKNOWLEDGED_SECONDS * 1000,
}


class LiveConnection(asyncpg.Connection):
    """A connection that closes when the server has vanished.

    Unlike in asyncpg, a COMMIT that ends in a rollback raises. `begin_with` is a statement that the
    next transaction begins with, in the same round trip.
    """

    begin_with = ""

    def __init__(self, protocol: Any, transport: Any, *rest: Any) -> None:
        super().__init__(protocol, transport, *rest)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            detect_vanished_peer(connection)

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109 -- theirs
        """Run a statement. Raises InFailedSQLTransactionError if the server rolls back a COMMIT.

        The server does so, without an error, if an error in the transaction was caught.
        """
        if self.begin_with and query.startswith("BEGIN"):
            query, self.begin_with = f"{query} {self.begin_with}", ""
        status = await super().execute(query, *args, timeout=timeout)
        if status == "ROLLBACK" and query.startswith("COMMIT"):
            raise asyncpg.InFailedSQLTransactionError("the transaction failed and was rolled back")
        return status


def detect_vanished_peer(connection: Any) -> None:
    """Make the socket close when the peer's host is silent, as far as the platform can."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
