"""How a simulated scale answers a fetch: it writes a file, says its hash, gives it in chunks."""

from hashlib import md5
from typing import Final

from services.scale_bridge.driver.adapters.wire import DONE, WORKING, Request, packet
from services.scale_bridge.driver.domain.result_code import ResultCode
from services.scale_bridge.driver.simulator.faults import Faults
from services.scale_bridge.driver.simulator.scale import Memory, Scale

_BOM: Final = b"\xef\xbb\xbf"
_FIRST: Final = b'"products": [{'


def _bad_utf8(file: bytes) -> bytes:
    return file[:-1] + b',"note": "\xff\xfe"}'


def _as_list(file: bytes) -> bytes:
    return b"[" + file + b"]"


def _not_a_number(file: bytes) -> bytes:
    return file.replace(b'"price": ', b'"price": NaN, "was": ', 1)


def _twice(file: bytes) -> bytes:
    return file.replace(_FIRST, _FIRST + b'"name": "twice", ', 1)


_WAYS: Final = {
    "badjson": lambda file: file[:-2],
    "badutf8": _bad_utf8,
    "bom": lambda file: _BOM + file,
    "scalar": lambda _: b"42",
    "list": _as_list,
    "nan": _not_a_number,
    "dupkeys": _twice,
}


def spoil(file: bytes, faults: Faults) -> bytes:
    """The file with the faults in it that the scale has."""
    for name, way in _WAYS.items():
        if faults.bite(name):
            file = way(file)
    return file


def create(scale: Scale, request: Request, memory: Memory) -> bytes:
    """FF14: begin to write the export, from the base as it is now."""
    if scale.faults.bite("ac14"):
        return code(request, ResultCode.IN_PROGRESS)
    scale.unconfirmed = None
    memory.file = spoil(scale.base.export(), scale.faults)
    poll = scale.faults.bite("poll")
    memory.polls = poll.number if poll else scale.options.creating
    memory.cursor = memory.sent = 0
    return code(request, ResultCode.SUCCESS)


def created(scale: Scale, request: Request, memory: Memory) -> bytes:
    """FF15: is it written?"""
    if scale.faults.bite("err15"):
        return code(request, ResultCode.WRONG_PASSWORD)
    if memory.file is None:
        return code(request, ResultCode.FILE_EMPTY)
    if memory.polls != 0:
        memory.polls = None if memory.polls is None else memory.polls - 1
        return code(request, ResultCode.IN_PROGRESS)
    return code(request, ResultCode.SUCCESS)


def begin_hash(_: Scale, request: Request, memory: Memory) -> bytes:
    """FF12/06: begin to compute the hash; the file is read from its beginning again."""
    memory.cursor = memory.sent = 0
    missing = memory.file is None
    return code(request, ResultCode.FILE_EMPTY if missing else ResultCode.SUCCESS)


def hashed(scale: Scale, request: Request, memory: Memory) -> bytes:
    """FF12/07: the hash."""
    if memory.file is None:
        return code(request, ResultCode.FILE_EMPTY)
    if scale.faults.bite("hashshort"):
        return packet(request.code, bytes([ResultCode.SUCCESS, WORKING]))
    if scale.faults.bite("hashbusy"):
        return packet(request.code, bytes([ResultCode.SUCCESS, WORKING]) + bytes(16))
    wrong = b"!" if scale.faults.bite("badhash") else b""
    digest = md5(memory.file + wrong, usedforsecurity=False).digest()
    return packet(request.code, bytes([ResultCode.SUCCESS, DONE]) + digest)


def chunk(scale: Scale, request: Request, memory: Memory) -> bytes:
    """FF12/03: the next chunk. The scale knows where it was."""
    if memory.file is None:
        return code(request, ResultCode.FILE_EMPTY)
    if scale.faults.bite("emptychunk"):
        return packet(request.code, bytes(8))
    data = memory.file[memory.cursor : memory.cursor + scale.options.chunk_bytes]
    head = memory.cursor.to_bytes(4, "little") + len(data).to_bytes(2, "little")
    last = memory.cursor + len(data) >= len(memory.file)
    # The second chunk is the one that comes twice; the first, if there is no other.
    if (memory.sent or last) and scale.faults.bite("dupchunk"):
        last = False
    else:
        memory.cursor += len(data)
    memory.sent += 1
    wrong = ResultCode.PARAMETER_WRONG if scale.faults.bite("rcchunk") else ResultCode.SUCCESS
    data = data[:-1] if scale.faults.bite("shortchunk") else data
    return packet(request.code, bytes([wrong, last]) + head + data)


def code(request: Request, result: ResultCode) -> bytes:
    """A reply of a result code and nothing else."""
    return packet(request.code, bytes([result]))
