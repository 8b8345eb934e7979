"""From the bytes of a request to readings and faults."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.ingest.domain.scan import Fault, Reading, read
from services.ingest.handlers.body import (
    BadRequest,
    load,
    read_batch,
    read_uuids,
    reading_of,
    value_of,
)
from tests.services.ingest.history import NOON_MS, batch, uuid

PLAIN = {"uuid": uuid(1), "ts": NOON_MS, "type": "ITEM", "operator": "anna"}

_texts = st.text(max_size=8) | st.text(st.characters(codec=None), max_size=3)
_odd = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | _texts
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(_texts, st.integers(), max_size=2)
)
_uuids = st.uuids().flatmap(
    lambda uuid: st.sampled_from([str(uuid), uuid.hex, str(uuid).upper(), f"{{{uuid}}}", uuid.urn])
)
_fields = {
    "uuid": _uuids,
    "ts": st.integers(-(10**20), 10**20) | st.integers(10**12, 2 * 10**12) | st.just(1e12),
    "timestamp": st.integers(10**12, 2 * 10**12),
    "day": _odd,
} | dict.fromkeys(
    ["type", "operator", "client", "city", "box", "code", "details", "source"], _texts
)
_NEEDED = ("ts", "type", "operator")
_events = st.fixed_dictionaries(
    {name: _fields[name] for name in _NEEDED},
    optional={name: values for name, values in _fields.items() if name not in _NEEDED},
)
_events_with_oddities = st.builds(
    lambda event, name, odd: event | {name: odd}, _events, st.sampled_from(list(_fields)), _odd
)


def outcomes(body: bytes) -> list[Reading | Fault]:
    return [reading_of(event) for event in read_batch(body)]


@given(event=_events | _events_with_oddities | _odd, ascii_only=st.booleans())
@example(event=PLAIN | {"code": "\udc00"}, ascii_only=True)
@example(event=PLAIN | {"x": "\ud800"}, ascii_only=True)
@example(event=PLAIN | {"uuid": None, "details": None, "client": None}, ascii_only=True)
def test_the_fast_way_reads_the_same_as_the_slow_way(event: Any, ascii_only: bool) -> None:
    body = json.dumps({"events": [event]}, ensure_ascii=ascii_only)
    slow = read(load(body)["events"][0])

    (fast,) = outcomes(body.encode("utf-8", "surrogatepass"))

    if has_surrogates(body):  # bytes that are no UTF-8 are read as other, equally lone surrogates
        assert isinstance(fast, Reading) == isinstance(slow, Reading)
    else:
        assert repr(fast) == repr(slow)


def has_surrogates(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


@given(events=st.lists(_events | _odd, min_size=1, max_size=5))
def test_what_is_wrong_with_one_event_says_nothing_about_the_others(events: list[Any]) -> None:
    together = outcomes(batch(*events))
    alone = [outcomes(batch(event))[0] for event in events]

    assert repr(together) == repr(alone)


@given(body=st.binary(max_size=60) | _odd.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(BadRequest):
        outcomes(body)


def test_the_common_event_takes_the_fast_way() -> None:
    (event,) = read_batch(batch(PLAIN | {"details": "", "source": "pwa", "box": "ivancov/8"}))

    assert isinstance(event, msgspec.Raw)
    assert isinstance(reading_of(event), Reading)


@pytest.mark.parametrize(
    "hurt",
    [
        b'{"ts": NaN}',
        b'{"ts": 1e999}',
        b'{"code": "\\ud800"}',
        b'{"code": "a\x00b"}',
        b'{"code": "a\tb"}',
        b'{"code": "\xff"}',
        b'{"code": "\xed\xa0\x80"}',
        b'{"ts": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_hurt_event_leaves_its_neighbours_whole(hurt: bytes) -> None:
    body = b'{"events":[%s,%s]}' % (json.dumps(PLAIN).encode(), hurt)

    sound, fault = outcomes(body)

    assert isinstance(sound, Reading)
    assert isinstance(fault, Fault)
    assert json.dumps(value_of(read_batch(body)[1])).isascii()


def test_a_byte_order_mark_is_overlooked() -> None:
    assert outcomes(b"\xef\xbb\xbf" + batch(PLAIN)) == outcomes(batch(PLAIN))


def test_a_hundred_events_are_a_batch() -> None:
    assert len(read_batch(batch(*[PLAIN] * 100))) == 100


def test_uuids_are_read_as_written() -> None:
    assert read_uuids(b'{"uuids":["uuid1","\\ud800"]}') == ["uuid1", "\ud800"]
