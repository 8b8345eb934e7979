"""The fast path for batches without faults and rarities, and what leaves it."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.ingest import EVENTS, IngestEvent
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import NewFact
from libs.eventsourcing.store import EventStore
from services.ingest.scans.domain import identity
from services.ingest.scans.handlers import scan
from services.ingest.scans.handlers.scan import fast_path_facts
from tests.libs.eventsourcing.memory_log import MemoryLog
from tests.services.ingest.history import FLOOR, NOON, NOON_MS, batch, event, send, uuid

NAMESPACE = identity.namespace("demo")
HOUR_MS = 3_600_000
TEXTS = ("type", "operator", "client", "city", "box", "code", "details", "source")

_texts = st.text(max_size=8) | st.sampled_from(["", "ё", "e\u0308", "\\u0000", "\x1f", "\u2028"])
_events = st.fixed_dictionaries(
    {
        "uuid": st.integers(1, 4).map(uuid),
        "ts": st.integers(NOON_MS - HOUR_MS, NOON_MS + HOUR_MS),
        "type": _texts,
        "operator": _texts,
    },
    optional=dict.fromkeys(TEXTS[2:], _texts) | {"more": st.none() | st.booleans()},
)
_oddities = st.sampled_from(
    [{"ts": 0}, {"uuid": None}, {"uuid": uuid(1).upper()}, {"code": "\0"}, {"operator": 7}]
)
_any_events = _events | st.builds(lambda event, odd: event | odd, _events, _oddities)


def short_way(body: bytes) -> list[NewFact] | None:
    facts = fast_path_facts(body, NAMESPACE, NOON, FLOOR)
    return None if facts is None else list(facts)


def recorded(bodies: list[bytes]) -> tuple[list[object], list[object]]:
    """What each batch is answered, and all that is in the log afterwards."""

    async def run() -> tuple[list[object], list[object]]:
        store = EventStore[IngestEvent](MemoryLog(clock=lambda: NOON), Codec(EVENTS))
        answers = [await send(store, body=body) for body in bodies]
        return list(answers), [one async for page in store.log.read_all() for one in page]

    return asyncio.run(run())


@given(batches=st.lists(st.lists(_any_events, min_size=1, max_size=4), min_size=1, max_size=3))
@example(batches=[[event(1, details=None)], [event(1, details=None), event(2, source="")]])
@example(batches=[[event(1, code="\ud800")], [event(1), event(1, code="other")]])
def test_the_fast_path_and_the_usual_path_have_the_same_result(batches: list[list[Any]]) -> None:
    bodies = [batch(*events) for events in batches]
    answers, log = recorded(bodies)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "fast_path_facts", lambda *_: None)
        assert recorded(bodies) == (answers, log)


def test_the_common_batch_takes_the_fast_path() -> None:
    events = [
        event(number, code="Ящик \U0001f600", ts=NOON_MS + number) for number in range(1, 101)
    ]

    for ascii_only in (True, False):
        body = json.dumps({"events": events}, ensure_ascii=ascii_only).encode()
        facts = short_way(body)
        assert facts is not None
        assert len(facts) == 100


@pytest.mark.parametrize(
    "events",
    [
        [],
        [event(number) for number in range(101)],
        [event(1), event(2, uuid=...)],
        [event(1, uuid=uuid(1).replace("-", ""))],
        [event(1, ts=0)],
        [event(1, ts=253_402_300_800_000)],
        [event(1, code="\0")],
        [event(1, code="\udc00")],
        [event(1, box=None)],
        *([event(1, **{name: "x" * 65_537})] for name in TEXTS),
    ],
)
def test_an_unusual_batch_leaves_the_fast_path(events: list[Any]) -> None:
    assert short_way(batch(*events)) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"\xef\xbb\xbf" + batch(event(1))])
def test_a_body_that_is_no_batch_leaves_the_fast_path(body: bytes) -> None:
    assert short_way(body) is None


@given(body=st.binary(max_size=60))
def test_any_bytes_get_a_result(body: bytes) -> None:
    assert not short_way(body)


def test_invalid_utf_8_leaves_the_fast_path() -> None:
    for hurt in (b"\0", b"\xff", b"\xed\xa0\x80"):
        assert short_way(batch(event(1)).replace(b"Novosem", b"Novo" + hurt)) is None
