"""The limit of a scale's line: the same frames there and back on a bare socket, nothing looked at.

Written down here once more, so that it does not get slower or faster with what it is a limit of.
"""

import socket
from contextlib import closing
from hashlib import md5
from typing import Final

PASSWORD: Final = b"1234"
CHUNK: Final = 60_000
HEAD: Final = 12
"""Where the data begins in the body of a chunk."""
WORKING: Final = 0xAC
LONG: Final = 255
TIMEOUT_SECONDS: Final = 60


def fetch(port: int) -> int:
    """Have the file made, ask for its hash, read every chunk; how many bytes came."""
    with closing(_connected(port)) as line:
        _ask(line, 0x14)
        while _ask(line, 0x15)[4] == WORKING:
            pass
        _ask(line, 0x12, b"\x06")
        _ask(line, 0x12, b"\x07")
        size, last = 0, False
        while not last:
            body = _ask(line, 0x12, b"\x03")
            size, last = size + len(body) - HEAD, body[5] == 1
        return size


def upload(port: int, file: bytes) -> None:
    """Announce the file, send every chunk, ask until it is imported."""
    digest = md5(file, usedforsecurity=False).digest()
    with closing(_connected(port)) as line:
        announced = b"\x02" + digest + b"\x04" + len(file).to_bytes(8, "big") + b"\x01\x00"
        _ask(line, 0x13, announced)
        for offset in range(0, len(file), CHUNK):
            data = file[offset : offset + CHUNK]
            last = bytes([offset + CHUNK >= len(file)])
            place = offset.to_bytes(4, "little") + len(data).to_bytes(2, "little")
            _ask(line, 0x13, b"\x03" + last + place + data)
        while _ask(line, 0x13, b"\x09")[5] == 1:
            pass


def _connected(port: int) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def _ask(line: socket.socket, code: int, rest: bytes = b"") -> bytes:
    payload = b"\xff" + bytes([code]) + PASSWORD + rest
    body = b"\x02" + bytes([min(len(payload), LONG)]) + payload
    line.sendall(len(body).to_bytes(4, "little") + body)
    return _exactly(line, int.from_bytes(_exactly(line, 4), "little"))


def _exactly(line: socket.socket, size: int) -> bytes:
    found = bytearray(size)
    view = memoryview(found)
    while view:
        count = line.recv_into(view)
        if not count:
            raise ConnectionError("the scale hung up")
        view = view[count:]
    return bytes(found)
