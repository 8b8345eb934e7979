"""Events to JSON and back, from every version ever written."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from libs.eventsourcing.codec import Codec, UndecodableEvent, UnknownEvent


def in_metres(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "metres": data["feet"] * 3 // 10}


def with_zone(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "zone": data["area"].upper()}


@dataclass(frozen=True, slots=True)
class Moved:
    """Written in its third version today."""

    schema_version: ClassVar[int] = 3
    upcasts: ClassVar = {1: with_zone, 2: in_metres}
    zone: str
    metres: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """Still in its first version."""

    zone: str


CODEC: Codec[Any] = Codec([Moved, Left])

GOLDEN = {
    ("Moved", 1): b'{"area":"a","feet":10}',
    ("Moved", 2): b'{"zone":"A","feet":10}',
    ("Moved", 3): b'{"zone":"A","metres":3,"why":""}',
    ("Left", 1): b'{"zone":"A"}',
}
"""One stored sample of every version ever written."""


@pytest.mark.parametrize(("name", "version"), GOLDEN)
def test_every_version_ever_written_is_read_as_today(name: str, version: int) -> None:
    event = CODEC.decode(name, version, GOLDEN[name, version])

    assert event == (Left("A") if name == "Left" else Moved("A", 3))


def test_what_is_written_is_the_golden_text_of_the_present_version() -> None:
    for event in (Moved("A", 3), Left("A")):
        name, version, data = CODEC.encode(event)
        assert data == GOLDEN[name, version]


def test_an_unknown_name_a_version_from_the_future_and_a_foreign_class_are_errors() -> None:
    with pytest.raises(UnknownEvent):
        CODEC.decode("Flown", 1, b"{}")
    with pytest.raises(UnknownEvent, match="version 4"):
        CODEC.decode("Moved", 4, b"{}")
    with pytest.raises(UnknownEvent):
        CODEC.encode("a text")


@pytest.mark.parametrize(
    ("version", "data"),
    [
        (3, b"not json"),
        (3, b"\xff\xfe"),
        (3, b'{"zone": 1, "metres": 3}'),
        (1, b'{"feet": 10}'),
        (1, b'{"area": 7, "feet": 10}'),
        (0, b'{"zone": "A"}'),
        (3, b'{"deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ],
    ids=["text", "bytes", "type", "missing", "upcast-fails", "no-upcast", "depth"],
)
def test_data_of_another_shape_is_undecodable(version: int, data: bytes) -> None:
    with pytest.raises(UndecodableEvent):
        CODEC.decode("Moved", version, data)
