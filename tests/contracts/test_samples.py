"""What was once written can be read for ever: one golden sample per event."""

import importlib
import json
import pkgutil
from pathlib import Path
from typing import Any

import pytest

import contracts
from libs.eventsourcing.codec import Codec

SAMPLES = Path(__file__).parents[2] / "contracts" / "samples"
MODULES = {
    found.name: module
    for found in pkgutil.iter_modules(contracts.__path__)
    if hasattr(module := importlib.import_module(f"contracts.{found.name}"), "EVENTS")
}
EVENTS = [(name, event) for name, module in MODULES.items() for event in module.EVENTS]


def test_there_are_contracts() -> None:
    assert EVENTS


@pytest.mark.parametrize(
    ("service", "event"), EVENTS, ids=lambda one: getattr(one, "__name__", one)
)
def test_every_sample_decodes_and_encodes_back(service: str, event: type[Any]) -> None:
    sample = (SAMPLES / service / f"{event.__name__}.json").read_bytes()
    codec: Codec[Any] = Codec([event])

    decoded = codec.decode(event.__name__, getattr(event, "schema_version", 1), sample)
    name, _, encoded = codec.encode(decoded)

    assert (name, json.loads(encoded)) == (event.__name__, json.loads(sample))


OLD = [
    (name, event, version)
    for name, event in EVENTS
    for version in range(1, getattr(event, "schema_version", 1))
]
"""The versions of events that are no longer written."""


@pytest.mark.parametrize(
    ("service", "event", "version"), OLD, ids=lambda one: getattr(one, "__name__", one)
)
def test_the_sample_of_an_old_version_decodes_to_the_event_of_the_present_one(
    service: str, event: type[Any], version: int
) -> None:
    codec: Codec[Any] = Codec([event])
    old = (SAMPLES / service / f"{event.__name__}.{version}.json").read_bytes()
    present = (SAMPLES / service / f"{event.__name__}.json").read_bytes()

    decoded = codec.decode(event.__name__, version, old)

    assert decoded == codec.decode(event.__name__, event.schema_version, present)


def test_every_sample_belongs_to_a_version_of_an_event() -> None:
    files = {(file.parent.name, file.stem) for file in SAMPLES.rglob("*.json")}
    present = {(service, event.__name__) for service, event in EVENTS}

    assert files == present | {
        (name, f"{event.__name__}.{version}") for name, event, version in OLD
    }
