"""From the bytes of a batch to stored scans, and `verify`."""

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from contracts.ingest import ScanRecorded
from services.ingest.scans.domain.scan import Fault, Reading, parse_event
from services.ingest.scans.handlers.body import (
    BadRequest,
    load_json,
    read_batch,
    read_uuids,
    reading_of,
    value_of,
)
from services.ingest.scans.handlers.scan import Recorded
from tests.services.ingest.history import NOON, NOON_MS, Store, batch, event, events_in, send, uuid

LATER = NOON + timedelta(hours=1)


def counts(recorded: Recorded) -> tuple[int, int, int]:
    return recorded.inserted, len(recorded.duplicates), len(recorded.errors)


async def codes(store: Store) -> set[str]:
    return {scan.code for scan in await events_in(store, ScanRecorded)}


async def test_a_repeated_bad_event_is_an_error_again_but_stored_once(store: Store) -> None:
    bad = [event(1, ts=0), event(2, uuid="nonsense"), event(3, uuid=..., code="\0"), 7, "\ud800"]
    await send(store, *bad)

    again = await send(store, *reversed(bad))

    assert counts(again) == (0, 0, 5)
    assert len(await events_in(store)) == 5


async def test_an_event_without_uuid_is_stored_once_however_often_it_is_sent(
    store: Store,
) -> None:
    nameless = event(1, uuid=...)
    await send(store, nameless)

    again = await send(store, nameless, nameless, at=LATER)

    assert counts(again) == (0, 2, 0)
    assert len(await events_in(store)) == 1


async def test_an_id_sent_with_other_content_keeps_the_first_and_is_logged(store: Store) -> None:
    ahead = event(3, ts=NOON_MS + 600_000)
    await send(store, event(1), ahead)

    with capture_logs() as logs:
        recorded = await send(store, event(1, code="other"), event(2), event(2, code="other"))
        await send(store, ahead, ahead, at=LATER)  # the same content: no conflict

    assert counts(recorded) == (1, 2, 0)
    assert [entry["scan_id"] for entry in logs] == [uuid(1), uuid(2)]
    assert await codes(store) == {"1", "2", "3"}


async def test_tenants_may_use_the_same_ids(store: Store) -> None:
    await send(store, event(1), event(2, ts=0))

    other = await send(store, event(1), event(2, ts=0), tenant="other")

    assert counts(other) == (1, 0, 1)
    assert len(await events_in(store)) == 4


@pytest.mark.parametrize("depth", [*range(880, 1000, 10), 5000])
async def test_nesting_is_quarantined_or_refused_but_never_a_crash(
    store: Store, depth: int
) -> None:
    body = b'{"events":[{"ts":' + b"[" * depth + b"]" * depth + b"}]}"
    try:
        recorded = await send(store, body=body)
    except BadRequest:
        assert await events_in(store) == []
    else:
        assert counts(recorded) == (0, 0, 1)


async def test_a_very_long_bad_event_is_stored_up_to_the_limit_of_kafka(store: Store) -> None:
    await send(store, event(1, details="я" * 3_000_000))

    (recorded,) = [one async for page in store.log.read_all() for one in page]
    assert len(recorded.data) < 900_000


async def test_a_real_log_stores_everything_a_device_can_send(stores: list[Store]) -> None:
    awkward = [
        event(1, code="\\u0000 \u2028 😀 '; DROP TABLE events; --"),
        event(2, code="\0"),
        event(3, code="\ud800"),
        event(4, ts=253_402_300_799_999),
        event(5, details="x" * 65_536),
        {"\0": "\udfff"},
    ]

    assert counts(await send(stores[0], *awkward)) == (3, 0, 3)
    assert len(await events_in(stores[0], ScanRecorded)) == 3


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
def test_the_fast_decoder_reads_the_same_as_the_lenient_one(event: Any, ascii_only: bool) -> None:
    body = json.dumps({"events": [event]}, ensure_ascii=ascii_only)
    slow = parse_event(load_json(body)["events"][0])

    (fast,) = outcomes(body.encode("utf-8", "surrogatepass"))

    if has_surrogates(body):  # bytes that are no UTF-8 are read as other, equally lone surrogates
        assert isinstance(fast, Reading) == isinstance(slow, Reading)
    else:
        assert repr(fast) == repr(slow)


def has_surrogates(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


@given(events=st.lists(_events | _odd, min_size=1, max_size=5))
def test_a_fault_of_one_event_does_not_affect_the_others(events: list[Any]) -> None:
    together = outcomes(batch(*events))
    alone = [outcomes(batch(event))[0] for event in events]

    assert repr(together) == repr(alone)


@given(body=st.binary(max_size=60) | _odd.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(BadRequest):
        outcomes(body)


def test_the_common_event_is_read_by_the_fast_decoder() -> None:
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
def test_a_damaged_event_does_not_affect_its_neighbours(hurt: bytes) -> None:
    body = b'{"events":[%s,%s]}' % (json.dumps(PLAIN).encode(), hurt)

    sound, fault = outcomes(body)

    assert isinstance(sound, Reading)
    assert isinstance(fault, Fault)
    assert json.dumps(value_of(read_batch(body)[1])).isascii()


def test_a_byte_order_mark_is_ignored() -> None:
    assert outcomes(b"\xef\xbb\xbf" + batch(PLAIN)) == outcomes(batch(PLAIN))


def test_a_hundred_events_are_a_batch() -> None:
    assert len(read_batch(batch(*[PLAIN] * 100))) == 100


async def test_uuids_are_read_as_written() -> None:
    assert await read_uuids(b'{"uuids":["uuid1","\\ud800"]}') == ["uuid1", "\ud800"]
