"""Large bodies are split into the same events as small ones, in little memory and in steps."""

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Awaitable, Sequence
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.ingest import ScanQuarantined
from services.ingest.scans.domain.scan import RAW_LIMIT, Fault, Reading
from services.ingest.scans.handlers.body import (
    LARGE_BODY,
    BadRequest,
    Event,
    read_batch,
    read_uuids,
    reading_of,
    split_batch,
    value_of,
)
from services.ingest.scans.handlers.scan import record_batch
from tests.services.ingest.history import DEMO, FLOOR, NOON, NOON_MS, Store, event, events_in, uuid

SIZE: Final = 9_900_000
PLAIN: Final = b'"ts":%d,"type":"ITEM","operator":"anna"' % NOON_MS


def many(part: bytes, size: int = SIZE) -> bytes:
    """A list of the same parts."""
    return b"[" + part + (b"," + part) * (size // (len(part) + 1)) + b"]"


async def cut(body: bytes) -> Sequence[Event] | str:
    try:
        return await split_batch(body)
    except BadRequest as error:
        return str(error.details[0]["type"])


def read(body: bytes) -> Sequence[Event] | str:
    try:
        return read_batch(body)
    except BadRequest as error:
        return str(error.details[0]["type"])


def outcomes(events: Sequence[Event] | str) -> list[tuple[Any, str]] | str:
    if isinstance(events, str):
        return events
    return [(repr(reading_of(one)), repr(value_of(one))) for one in events]


_json: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["\ud800", '"', "\\", '\\"', "[", "]}", ",", "\0", "\n"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)
_scan = st.builds(event, st.integers(0, 9), code=_json, x=_json)
_body = st.builds(
    lambda events, before, behind, spaces, ascii_only: json.dumps(
        before | {"events": events} | behind, indent=spaces, ensure_ascii=ascii_only
    ).encode("utf-8", "surrogatepass"),
    st.lists(_scan | _json, min_size=1, max_size=5),
    st.dictionaries(st.text(max_size=3), _json, max_size=2),
    st.dictionaries(st.text(max_size=3), _json, max_size=2),
    st.sampled_from([None, 0, 1]),
    st.booleans(),
)


@given(body=_body)
@example(body=b'{"events":[{"code":"\\\\"}],"x":"\\\\\\"]"}')
@example(body=b'\xef\xbb\xbf {"events" : [ {"code":"a\tb","ts":NaN} , [] ] } \n')
async def test_a_large_batch_is_split_into_the_same_events(body: bytes) -> None:
    assert outcomes(await cut(body)) == outcomes(read(body))


NO_BATCH: Final = (
    *(b"", b"{", b"7", b"[]", b"{}", b'{"events":7}', b'{"events":{"0":1}}', b'{"events":null}'),
    *(b'{"events":[]}', b'{"events":[,]}', b'{"events":[1,]}', b'{"events":[1 2]}'),
    *(b'{"events":[1}', b'{"events":[1]', b'{"events":["a]}', b'{"events":[1]}x', b'{"events"}'),
    *(b'{"events":[{]}]}', b"{events:[1]}", b'{"events":[1],}', b'{"x":[1,"events":[1]}'),
    b'{"events":%s}' % many(b"1", 210),
    b'{"events":' + b"[" * 5000,
    b'{"events":[' + b"[" * 5000 + b"]" * 5000 + b"]}",
)


NO_KINDS: Final = {
    "json_invalid",
    "model_attributes_type",
    "missing",
    "list_type",
    "too_short",
    "too_long",
}


async def kind_of(outcome: Awaitable[Sequence[Event] | str]) -> str:
    """The kind of refusal, which may come only when the events are read."""
    events = await outcome
    try:
        return events if isinstance(events, str) else repr([reading_of(one) for one in events])
    except BadRequest as error:
        return str(error.details[0]["type"])


@pytest.mark.parametrize("body", NO_BATCH, ids=lambda body: f"{body[:24]!r} {len(body)}")
async def test_a_large_body_that_is_no_batch_is_refused_in_the_same_way(body: bytes) -> None:
    large, small = await kind_of(cut(body)), await kind_of(asyncio.to_thread(read, body))

    assert {large, small} <= NO_KINDS
    assert large == small or {large, small} == {"json_invalid", "model_attributes_type"}


HOSTILE: Final[dict[str, bytes]] = {
    "numbers": b'{"events":%s}' % many(b"1"),
    "an event of lists": b'{"events":[%s]}' % many(b"[]"),
    "an event of objects": b'{"events":[%s]}' % many(b'{"a":{}}'),
    "no strict JSON": b'{"events":[[NaN,%s]]}' % many(b"[]"),
    "a scan with more fields": b'{"events":[{%s,"x":%s}]}' % (PLAIN, many(b"[]")),
    "a hundred of them": b'{"events":%s}' % many(b'{"ts":NaN,"x":%s}' % many(b"[]", 98_000)),
    "another field": b'{"x":%s,"events":[{%s}]}' % (many(b"{}"), PLAIN),
    "brackets alone": b'{"events":' + b"[" * SIZE,
    "a text without end": b'{"events":["' + b'\\"' * (SIZE // 2),
}


async def answer(work: Awaitable[object]) -> object:
    try:
        return await work
    except BadRequest as error:
        return error.details[0]["type"]


async def in_little_memory(work: Awaitable[object], size: int) -> int:
    """The work takes no more memory than twice a size; how often others went on meanwhile."""
    turns, over = 0, asyncio.Event()

    async def others() -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    gc.collect()
    tracemalloc.start()
    try:
        await answer(work)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        over.set()
        await beside
    assert peak < 2 * size, f"{peak / size:.1f} times the body"
    return turns


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_large_body_takes_little_memory_and_blocks_no_other_request(
    store: Store, name: str
) -> None:
    body = HOSTILE[name]
    turns = await in_little_memory(
        record_batch(store, body, metadata=DEMO, received_at=NOON, not_before=FLOOR), len(body)
    )

    assert turns > 90 or name == "brackets alone"


async def test_a_large_list_of_uuids_takes_little_memory_too() -> None:
    for part in (b"1", b"[]", b'"%s"' % uuid(1).encode()):
        await in_little_memory(read_uuids(b'{"uuids":%s}' % many(part)), SIZE)
    spelled = uuid(1).encode()
    body = b'{"x":"%s","uuids":["%s","\\ud800"]}' % (b"x" * LARGE_BODY, spelled)
    assert await read_uuids(body) == [uuid(1), "\ud800"]
    with pytest.raises(BadRequest, match="valid string"):
        await read_uuids(b'{"uuids":["%s",%s]}' % (spelled, many(b"[]", LARGE_BODY)))


async def send(store: Store, body: bytes) -> Any:
    assert len(body) > LARGE_BODY
    return await record_batch(store, body, metadata=DEMO, received_at=NOON, not_before=FLOOR)


async def test_the_scans_of_a_batch_with_long_ignored_fields_are_stored(
    store: Store,
) -> None:
    long = "ы" * 60_000
    events = [event(n, details=long) for n in range(1, 30)]
    body = json.dumps({"events": [*events, event(30, x="x" * 2 * LARGE_BODY)]}).encode()

    first, again = await send(store, body), await send(store, body)

    assert (first.inserted, len(again.duplicates), first.errors) == (30, 30, ())


async def test_the_start_of_a_too_long_event_is_stored_once(store: Store) -> None:
    hurt = '{"ts":"ы","x":"%s"}' % ("y" * 2 * LARGE_BODY)
    body = b'{"events":[%s,%s]}' % (json.dumps(event(1)).encode(), hurt.encode())

    first, again = await send(store, body), await send(store, body)

    assert (first.inserted, len(again.duplicates)) == (1, 1)
    assert (
        first.errors
        == again.errors
        == ("event 1 (without uuid): the event is too long, and not read [too_long]",)
    )
    (quarantined,) = await events_in(store, ScanQuarantined)
    assert quarantined.raw.startswith('{"ts":"\\u044b","x":"yyy')
    assert (len(quarantined.raw), quarantined.raw.isascii()) == (RAW_LIMIT, True)
    assert quarantined.reason.endswith("only its start is kept")


async def test_a_fault_of_one_event_does_not_affect_the_others_of_a_large_batch(
    store: Store,
) -> None:
    padding = "x" * LARGE_BODY
    events = [event(1), event(2, ts=None), 7, event(3, code="\0"), event(4, x=padding)]

    recorded = await send(store, json.dumps({"events": events}).encode())

    assert recorded.inserted == 2
    assert [error.split("[")[1] for error in recorded.errors] == [
        "bad_ts]",
        "not_an_object]",
        "unstorable_text]",
    ]
    assert isinstance(reading_of(events[0]), Reading)
    assert isinstance(reading_of(7), Fault)
