"""Files as a broken scale exports them."""

from typing import Final

from services.scale_bridge.driver.simulator.faults import Faults

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
