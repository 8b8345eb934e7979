"""The TCP port of a simulated scale: open, closed, or so crowded that packets are dropped."""

import socket
import struct
from asyncio import StreamReader, StreamWriter
from typing import Final

_ESTABLISHED: Final = 1
_CALLERS: Final = 3


class Port:
    """A port that stays ours while nobody listens on it: callers are refused until then."""

    def __init__(self, host: str, port: int) -> None:
        self._reserved = bound(host, port)
        self.host: str = host
        self.number: int = self._reserved.getsockname()[1]
        self._crowd: list[socket.socket] = []

    def listening(self) -> socket.socket:
        """A socket that listens on the port and does not block; the caller closes it."""
        heard = bound(self.host, self.number)
        heard.listen(100)
        heard.setblocking(False)
        return heard

    def crowd(self) -> None:
        """Let nobody through: with the queue full, the system drops who comes next."""
        full = bound(self.host, self.number)
        full.listen(0)
        self._crowd = [full]
        for _ in range(_CALLERS):
            caller = socket.socket()
            caller.setblocking(False)
            caller.connect_ex((self.host, self.number))
            self._crowd.append(caller)

    def close(self) -> None:
        """Give the port back; safe to repeat."""
        for one in (*self._crowd, self._reserved):
            one.close()


def bound(host: str, port: int) -> socket.socket:
    """A socket bound there; others of ours may be bound there too. Raises OSError."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


def reset(writer: StreamWriter) -> None:
    """End the connection with RST, not FIN; nothing if it is ending already."""
    wire = writer.get_extra_info("socket")
    if wire is not None and not writer.is_closing():
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def ended(reader: StreamReader, writer: StreamWriter) -> bool:
    """Whether the other side has hung up, as far as the system knows; it knows before asyncio."""
    wire = writer.get_extra_info("socket")
    if writer.is_closing() or reader.at_eof() or wire is None or wire.fileno() < 0:
        return True
    info: int | None = getattr(socket, "TCP_INFO", None)
    if info is None:
        return False
    state: bytes = wire.getsockopt(socket.IPPROTO_TCP, info, 1)
    return state[0] != _ESTABLISHED
