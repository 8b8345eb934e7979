"""Encoding events as name, version and JSON, and decoding them; old versions are upcast.

An unknown name or version is an error. Stored data never changes: it is upcast whenever it is read.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

Event = TypeVar("Event")
Upcast: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes the JSON data of one version into that of the next. Pure."""

_Encoded: TypeAlias = tuple[str, int, bytes]

_encode = msgspec.json.Encoder().encode


@cache
def codec_of(classes: tuple[type[Any], ...]) -> "Codec[Any]":
    """The codec of these classes, shared by its callers: a page is decoded once for all of them."""
    return Codec(classes)


class UnknownEvent(Exception):
    """There is no class with this name and version."""


class UndecodableEvent(Exception):
    """The data does not have the shape of its class."""


class Codec(Generic[Event]):
    """The event classes of one service.

    A class may have `schema_version: ClassVar[int]` (default 1), and `upcasts`, a `ClassVar` that
    maps each old version to the function that makes the next version's data.
    """

    def __init__(self, classes: Iterable[type[Any]]) -> None:
        classes = tuple(classes)
        self._upcasts: dict[str, Mapping[int, Upcast]] = {
            kind.__name__: getattr(kind, "upcasts", {}) for kind in classes
        }
        self._versions = {kind: int(getattr(kind, "schema_version", 1)) for kind in classes}
        self._decoders: dict[str, tuple[int, Callable[[bytes], Any]]] = {
            kind.__name__: (version, msgspec.json.Decoder(kind).decode)
            for kind, version in self._versions.items()
        }

    @property
    def names(self) -> Mapping[str, int]:
        """The names with the version in which they are encoded."""
        return {kind.__name__: version for kind, version in self._versions.items()}

    def encode(self, event: Event) -> _Encoded:
        """Name, schema version and JSON of `event`. Raises UnknownEvent for a foreign class."""
        kind = type(event)
        if kind not in self._versions:
            raise UnknownEvent(kind.__name__)
        return kind.__name__, self._versions[kind], _encode(event)

    def decode(self, name: str, schema_version: int, data: bytes) -> Event:
        """The event, upcast to the present version. Raises UnknownEvent, UndecodableEvent."""
        if name not in self._decoders:
            raise UnknownEvent(name)
        current, decode = self._decoders[name]
        if schema_version > current:
            raise UnknownEvent(f"{name} version {schema_version}")
        try:
            if schema_version < current:
                data = _upcast(data, self._upcasts[name], schema_version, current)
            event: Event = decode(data)
        except Exception as error:  # an upcast may raise anything, JSON a RecursionError
            raise UndecodableEvent(f"{name} version {schema_version}: {error}") from error
        return event


def _upcast(data: bytes, steps: Mapping[int, Upcast], written: int, current: int) -> bytes:
    """Convert `data` of version `written` to `current`. Raises KeyError if a step is missing."""
    value: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
    for version in range(written, current):
        value = steps[version](value)
    return msgspec.json.encode(value)
