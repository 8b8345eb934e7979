"""Free ports on loopback, chosen once and kept, so that addresses outlive a restart."""

import json
import random
import socket
from collections.abc import Collection
from pathlib import Path

from deploy.local.files import write_whole

LOOPBACK = "127.0.0.1"
# Below the ports systems hand to outgoing connections: a client that keeps reconnecting to a
# server which is just restarting could otherwise be given the server's own port and take it.
CANDIDATES = range(15_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # Connections of a server that just stopped may still linger; they do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    return pulse(port) is True


def pulse(port: int, *, timeout_seconds: float = 0.5) -> bool | None:
    """The same; None if it neither accepted nor refused in time."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=timeout_seconds).close()
    except TimeoutError:
        return None
    except OSError:
        return False
    return True


def free_port(*, apart_from: Collection[int] = ()) -> int:
    """A free port; another process may still take it before the caller does."""
    candidates = random.sample(CANDIDATES, k=len(CANDIDATES))
    return next(port for port in candidates if port not in apart_from and is_free(port))


def remembered_port(home: Path, name: str) -> int:
    """The port `name` had last time if it is still free, else a new one, written down.

    No two names get one port, though none of them listens yet.
    """
    file = home / "ports.json"
    known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    port = known.pop(name, None)
    if port is None or port in known.values() or not is_free(port):
        port = free_port(apart_from=known.values())
        write_whole(file, json.dumps(known | {name: port}, indent=2) + "\n")
    return port
