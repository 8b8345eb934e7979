"""Every log keeps the same promises about streams and about facts."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import pytest

from libs.eventsourcing.log import (
    ANY,
    NO_STREAM,
    Appended,
    AppendedStreams,
    EventIdReused,
    Expected,
    FactsAppended,
    Log,
    Metadata,
    NewEvent,
    NewFact,
    Rejected,
    StreamAppend,
    VersionConflict,
)
from libs.eventsourcing.schema import MAX_NAME
from libs.eventsourcing.tokens import MAX_NAMED, parse_token
from libs.testing.polling import eventually
from tests.libs.eventsourcing.events import METADATA, WHEN, everything, fact, new


async def append(log: Log, *events: Any, stream: str = "order-1", **options: Any) -> Appended:
    """Append to a stream that does not exist, unless the options say otherwise."""
    given: dict[str, Any] = {"expected": NO_STREAM, "metadata": METADATA}
    return await log.append(stream, events, **(given | options))


async def test_a_new_stream_is_empty_and_what_was_appended_is_read_back_with_its_metadata(
    log: Log,
) -> None:
    event = new()
    assert await log.read("demo", "order-1") == []

    appended = await append(log, event)

    (read,) = await log.read("demo", "order-1")
    assert (read.event_id, read.type, read.version) == (event.event_id, "Tried", 1)
    assert (read.occurred_at, read.metadata) == (WHEN, METADATA)
    assert appended.version == 1
    assert appended.token == f"{read.xid}.{read.position}" == read.token


async def test_event_ids_belong_to_one_append_once_and_in_their_order(log: Log) -> None:
    one, two = new(), new()
    await append(log, one, two)

    for stream, events in (
        ("order-2", [one, two]),
        ("order-1", [one, two, new()]),
        ("order-1", [two, one]),
        ("order-1", [twice := new(), twice]),
    ):
        with pytest.raises(EventIdReused):
            await append(log, *events, stream=stream, expected=ANY)

    assert len(await everything(log)) == 2


async def test_the_same_stream_of_two_tenants_is_two_streams(log: Log) -> None:
    for tenant in ("demo", "other"):
        await log.append("order-1", [new()], expected=NO_STREAM, metadata=Metadata(tenant=tenant))

    assert [event.metadata.tenant for event in await log.read("other", "order-1")] == ["other"]


async def test_a_nul_character_is_refused_and_its_escape_is_not(log: Log) -> None:
    with pytest.raises(Rejected):
        await log.append_facts([fact(data=rb'{"code": "a\u0000b"}')], metadata=METADATA)

    await log.append_facts([fact(data=rb'{"code": "a\\u0000b"}')], metadata=METADATA)

    assert len(await everything(log)) == 1


UNSTORABLE: dict[str, tuple[str, Metadata, bytes]] = {
    "empty": ("", METADATA, b"{}"),
    "long": ("x" * (MAX_NAME + 1), METADATA, b"{}"),
    "nul": ("a\0b", METADATA, b"{}"),
    "surrogate": ("a\ud800b", METADATA, b"{}"),
    "no-tenant": ("order-1", Metadata(tenant=""), b"{}"),
    "all-tenants": ("order-1", Metadata(tenant="*"), b"{}"),
    "long-tenant": ("order-1", Metadata(tenant="x" * (MAX_NAME + 1)), b"{}"),
    "longest-tenant": ("order-1", Metadata(tenant="".join(map(chr, range(0x4E00, 0x5600)))), b"{}"),
    "deep": ("order-1", METADATA, b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
    "nul-actor": ("order-1", Metadata(tenant="demo", actor="a\0b"), b"{}"),
    "bad-actor": ("order-1", Metadata(tenant="demo", actor="a\ud800b"), b"{}"),
    "text": ("order-1", METADATA, b"{not json"),
    "bytes": ("order-1", METADATA, b'{"a": "\xff"}'),
    "escaped-nul": ("order-1", METADATA, rb'{"x": "\u0000"}'),
    "big": ("order-1", METADATA, b'{"a": "' + b"x" * 500_000 + b'"}'),
}


@pytest.mark.parametrize("why", UNSTORABLE)
async def test_only_the_event_that_cannot_be_stored_is_rejected(log: Log, why: str) -> None:
    stream, metadata, data = UNSTORABLE[why]
    bad = append(log, new(data=data), stream=stream, expected=ANY, metadata=metadata)
    good = [append(log, new(), stream=f"order-{n}", expected=ANY) for n in range(2, 7)]

    *answers, refused = await asyncio.gather(*good, bad, return_exceptions=True)

    assert isinstance(refused, Rejected), refused
    assert [getattr(answer, "version", answer) for answer in answers] == [1] * 5
    assert len(await everything(log)) == 5


@pytest.mark.parametrize("why", UNSTORABLE)
async def test_only_the_fact_that_cannot_be_stored_is_rejected(log: Log, why: str) -> None:
    stream, metadata, data = UNSTORABLE[why]
    good = [log.append_facts([fact(), fact()], metadata=METADATA) for _ in range(3)]
    bad = log.append_facts([fact(), fact(data=data, stream=stream)], metadata=metadata)

    *answers, refused = await asyncio.gather(*good, bad, return_exceptions=True)

    assert isinstance(refused, Rejected), refused
    assert [len(getattr(answer, "new", ())) for answer in answers] == [2] * 3
    assert len(await everything(log)) == 6


@pytest.mark.parametrize("sign", ["\x1f", "\x1e", "\n", "\\", "'", ",", "{}", "NULL"])
async def test_facts_are_stored_unchanged_whatever_their_names_contain(log: Log, sign: str) -> None:
    facts = [
        fact(stream=f"scan-{sign}{n}", type=sign, data=b'{"n": %d}' % n, occurred_at=WHEN)
        for n in range(3)
    ]
    metadatas = [Metadata(tenant=f"{sign}{n}", actor=sign) for n in range(3)]

    both = zip(facts, metadatas, strict=True)
    await asyncio.gather(*(log.append_facts([one], metadata=metadata) for one, metadata in both))

    kept = {one.event_id: one for one in await everything(log)}
    for one, metadata in zip(facts, metadatas, strict=True):
        found = kept[one.event_id]
        assert (found.stream, found.type, found.data, found.occurred_at, found.metadata) == (
            *(one.stream, one.type, one.data, one.occurred_at, metadata),
        )


@pytest.mark.parametrize("known", [[], [fact()]], ids=["all-new", "one-known"])
async def test_each_of_several_appends_of_facts_gets_the_position_of_its_own_last_fact(
    log: Log, known: list[NewFact]
) -> None:
    await log.append_facts(known, metadata=METADATA)
    batches = [[fact(), fact()], [fact()], [*known, fact(), *known], [], known]

    answers = await asyncio.gather(*(log.append_facts(each, metadata=METADATA) for each in batches))

    positions = {one.event_id: one.position for one in await everything(log)}
    for batch, answer in zip(batches, answers, strict=True):
        named = [entry.position for entry in parse_token(answer.token)]
        assert named[-1:] == sorted(positions[one.event_id] for one in batch)[-1:]
        assert answer.new == {one.event_id for one in batch if one not in known}


async def test_no_facts_append_nothing_and_an_append_without_events_is_refused(log: Log) -> None:
    await append(log, new(), expected=ANY)

    assert await log.append_facts([], metadata=METADATA) == FactsAppended(frozenset(), "")
    for bound in ([], [fact()]):
        with pytest.raises(ValueError, match="needs an event"):
            await append(log, expected=1, facts=bound)
    assert len(await everything(log)) == 1


async def test_a_past_moment_of_the_log_stays_as_it_was(log: Log) -> None:
    await append(log, new(), expected=ANY)
    moment = await log.now()
    await append(log, new(), expected=ANY)

    past = [event async for page in log.read_all(as_of=moment) for event in page]

    assert [event.version for event in past] == [1]


async def test_an_append_of_facts_returns_the_new_ones_and_their_transactions(log: Log) -> None:
    known, fresh = [fact(), fact()], fact()
    first = await log.append_facts(known, metadata=METADATA)

    again = await log.append_facts(known, metadata=METADATA)
    mixed = await log.append_facts([fresh, *known, fresh], metadata=METADATA)

    assert first.new == {each.event_id for each in known}
    assert not again.new
    assert mixed.new == {fresh.event_id}
    assert again.token == first.token
    *_, last, newest = await everything(log)
    assert (first.token, mixed.token) == (last.token, newest.token)


@pytest.mark.parametrize(("transactions", "named"), [(MAX_NAMED, MAX_NAMED), (MAX_NAMED + 1, 1)])
async def test_a_token_stays_short_for_facts_of_many_transactions(
    log: Log, transactions: int, named: int
) -> None:
    known, moments = [fact() for _ in range(transactions)], []
    for one in known:
        moments.append(await log.now())
        await log.append_facts([one], metadata=METADATA)

    entries = parse_token((await log.append_facts(known, metadata=METADATA)).token)

    assert len(entries) == named
    assert entries[-1].position == (await everything(log))[-1].position
    await log.append_facts([fact()], metadata=METADATA)
    assert not any(all(moment.sees(each.xid) for each in entries) for moment in moments)

    async def all_is_seen() -> bool:
        # A stranger in another database may have begun under the number that stands for all.
        moment = await log.now()
        return all(moment.sees(each.xid) for each in entries)

    await eventually(all_is_seen)


async def test_facts_have_no_version_and_are_not_read_with_their_stream(log: Log) -> None:
    known = fact()
    await log.append_facts([known], metadata=METADATA)

    (recorded,) = await everything(log)
    assert recorded.version is None
    assert await log.read("demo", "scan-1") == []
    assert set(await log.find([known.event_id, uuid4()])) == {known.event_id}
    with pytest.raises(EventIdReused):
        await append(log, new(known.event_id), stream="scan-1", expected=ANY)


async def test_facts_bound_to_an_append_are_written_with_it_once(log: Log) -> None:
    bound = fact()
    first = new()

    appended = await append(log, first, facts=[bound])

    written = {event.event_id: event for event in await everything(log)}
    assert set(written) == {first.event_id, bound.event_id}
    assert len({event.xid for event in written.values()}) == 1
    assert written[bound.event_id].version is None
    assert appended.version == 1
    assert await append(log, first, facts=[bound]) == appended
    assert len(await everything(log)) == 2


async def test_an_append_with_a_known_fact_is_refused(log: Log) -> None:
    known, unknown = fact(), fact()
    await log.append_facts([known], metadata=METADATA)

    with pytest.raises(VersionConflict):
        await append(log, new(), facts=[unknown, known])

    assert [event.event_id for event in await everything(log)] == [known.event_id]


async def test_of_many_appends_that_bind_the_same_fact_one_wins(log: Log) -> None:
    bound = fact()

    async def claim(number: int) -> bool:
        try:
            await append(log, new(), stream=f"order-{number}", facts=[bound])
        except VersionConflict:
            return False
        return True

    won = await asyncio.gather(*(claim(number) for number in range(16)))

    assert sum(won) == 1
    assert len(await everything(log)) == 2


async def test_a_bound_fact_is_new_to_its_append_only(log: Log) -> None:
    bound = fact()

    _, repeated = await asyncio.gather(
        append(log, new(), facts=[bound]), log.append_facts([bound], metadata=METADATA)
    )

    assert not repeated.new
    assert len(await everything(log)) == 2


async def append_streams(
    log: Log, events: Mapping[str, Sequence[NewEvent]], **expected: Expected
) -> AppendedStreams:
    """Append to new streams; `expected` holds other versions, `item_1` for item-1."""
    streams = [
        StreamAppend(
            stream=stream,
            events=each,
            expected=expected.get(stream.replace("-", "_"), NO_STREAM),
        )
        for stream, each in events.items()
    ]
    return await log.append_streams(streams, metadata=METADATA)


async def test_an_append_to_several_streams_has_one_transaction_and_one_token(log: Log) -> None:
    await append(log, new(), stream="item-1")

    appended = await append_streams(
        log, {"order-1": [new(), new()], "item-2": [new()], "item-1": [new()]}, item_1=1
    )

    assert appended.versions == {"order-1": 2, "item-2": 1, "item-1": 2}
    _, *written = await everything(log)
    assert [(each.stream, each.version) for each in written] == [
        *(("item-1", 2), ("item-2", 1), ("order-1", 1), ("order-1", 2)),
    ]
    assert len({each.xid for each in written}) == 1
    assert appended.token == written[-1].token


async def test_one_stream_that_moved_keeps_an_append_from_all_streams(log: Log) -> None:
    await append(log, new(), new(), stream="item-1")
    order = [new()]

    with pytest.raises(VersionConflict) as conflict:
        await append_streams(log, {"order-1": order, "item-1": [new()]}, item_1=1)
    assert conflict.value.streams == frozenset({"item-1"})
    assert await log.read("demo", "order-1") == []

    await append_streams(log, {"order-1": order, "item-1": [new()]}, item_1=2)
    assert len(await everything(log)) == 4


async def test_a_repeated_append_to_several_streams_returns_the_first_result(log: Log) -> None:
    events = {"order-1": [new(), new()], "item-1": [new()]}
    first = await append_streams(log, events)
    await append(log, new(), stream="item-1", expected=1)

    assert await append_streams(log, events) == first
    assert await append_streams(log, events, item_1=7, order_1=9) == first
    with pytest.raises(EventIdReused):
        await append_streams(log, events | {"item-2": [new()]})
    assert len(await everything(log)) == 4


async def test_of_appends_to_several_streams_at_once_only_those_that_conflict_fail(
    log: Log,
) -> None:
    moved = {"item-1": [new()], "order-0": [new()]}
    await append(log, new(), stream="item-1")
    rivals = [{"item-2": [new()], f"order-{n}": [new()]} for n in range(1, 4)]
    alone = [{f"item-{n}": [new()], f"order-{n}": [new()]} for n in range(4, 7)]

    answers = await asyncio.gather(
        *(append_streams(log, events) for events in (moved, *rivals, *alone)),
        append_streams(log, {"item-1": [new()], "order-7": [new()]}, item_1=1),
        return_exceptions=True,
    )

    conflicts = [answer for answer in answers if isinstance(answer, VersionConflict)]
    assert [sorted(conflict.streams) for conflict in conflicts] == [
        *(["item-1"], ["item-2"], ["item-2"]),
    ]
    assert sum(isinstance(answer, AppendedStreams) for answer in answers) == 5
    assert len(await everything(log)) == 11


async def test_facts_of_an_append_to_several_streams_are_written_with_it_or_refuse_it(
    log: Log,
) -> None:
    known = fact()

    async def record(number: int) -> AppendedStreams:
        streams = [
            StreamAppend(stream=f"{kind}-{number}", events=[new()], expected=NO_STREAM)
            for kind in ("order", "item")
        ]
        return await log.append_streams(streams, metadata=METADATA, facts=[known])

    await record(1)
    with pytest.raises(VersionConflict):
        await record(2)

    assert len({each.xid for each in await everything(log)}) == 1
    assert len(await everything(log)) == 3
