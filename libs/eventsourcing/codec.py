"""Event classes to names and JSON, and back: an unknown name is an error, never a skip."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Generic, TypeAlias, TypeVar, cast

import msgspec

from libs.eventsourcing.upcasts import Upcast, upcast

Event = TypeVar("Event")
_Encoded: TypeAlias = tuple[str, int, bytes]

_encode = msgspec.json.Encoder().encode


@cache
def codec_of(classes: tuple[type[Any], ...]) -> "Codec[Any]":
    """The codec of these classes: the same one for everybody, so that what one has read need not
    be read by the next (see `libs.messaging.wire.ReceivedEvent`).
    """
    return Codec(classes)


class UnknownEvent(Exception):
    """No class is known by this name and version."""


class UndecodableEvent(Exception):
    """The data does not have the shape of its class."""


class Codec(Generic[Event]):
    """The event classes of one service.

    A class may carry `schema_version: ClassVar[int]` (1 if absent). `upcasts` maps a name and an
    old version to the function that makes the next version's data out of it.
    """

    def __init__(
        self, classes: Iterable[type[Any]], upcasts: Mapping[tuple[str, int], Upcast] | None = None
    ) -> None:
        self._upcasts = upcasts or {}
        self._versions = {kind: int(getattr(kind, "schema_version", 1)) for kind in classes}
        self._decoders: dict[str, tuple[int, Callable[[bytes], Any]]] = {
            kind.__name__: (version, msgspec.json.Decoder(kind).decode)
            for kind, version in self._versions.items()
        }

    @property
    def names(self) -> Mapping[str, int]:
        """The known names with the version they are written in."""
        return {kind.__name__: version for kind, version in self._versions.items()}

    def encode(self, event: Event) -> _Encoded:
        """Name, schema version and JSON of `event`. Raises UnknownEvent for a foreign class."""
        kind = type(event)
        if kind not in self._versions:
            raise UnknownEvent(kind.__name__)
        return kind.__name__, self._versions[kind], _encode(event)

    def decode(self, name: str, schema_version: int, data: bytes) -> Event:
        """The event, lifted to the present version. Raises UnknownEvent, UndecodableEvent."""
        if name not in self._decoders:
            raise UnknownEvent(name)
        current, decode = self._decoders[name]
        if schema_version > current:
            raise UnknownEvent(f"{name} version {schema_version}")
        try:
            if schema_version < current:
                data = upcast(name, schema_version, current, data, self._upcasts)
            return cast(Event, decode(data))
        except Exception as error:  # an upcast may fail in any way it likes, JSON by its depth
            raise UndecodableEvent(f"{name} version {schema_version}: {error}") from error
