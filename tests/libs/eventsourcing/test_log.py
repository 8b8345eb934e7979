"""Every log keeps the same promises about streams."""

import asyncio

import pytest

from libs.eventsourcing.log import (
    ANY,
    NO_STREAM,
    Cause,
    EventIdReused,
    Log,
    Rejected,
    VersionConflict,
)
from tests.libs.eventsourcing.events import CAUSE, WHEN, everything, fact, new


async def test_a_new_stream_is_empty(log: Log) -> None:
    assert await log.read("demo", "order-1") == []


async def test_what_was_appended_is_read_back_with_its_cause(log: Log) -> None:
    event = new()

    appended = await log.append("order-1", [event], expected=NO_STREAM, cause=CAUSE)

    (read,) = await log.read("demo", "order-1")
    assert (read.event_id, read.type, read.version) == (event.event_id, "Tried", 1)
    assert (read.occurred_at, read.cause) == (WHEN, CAUSE)
    assert appended.version == 1
    assert appended.token == str(read.xid)


async def test_appending_behind_somebody_else_conflicts_and_writes_nothing(log: Log) -> None:
    first = new()
    await log.append("order-1", [first], expected=NO_STREAM, cause=CAUSE)

    with pytest.raises(VersionConflict):
        await log.append("order-1", [new(), new()], expected=NO_STREAM, cause=CAUSE)

    assert [event.event_id for event in await everything(log)] == [first.event_id]


async def test_appending_at_the_right_version_continues_the_stream(log: Log) -> None:
    await log.append("order-1", [new(), new()], expected=NO_STREAM, cause=CAUSE)

    appended = await log.append("order-1", [new()], expected=2, cause=CAUSE)

    assert appended.version == 3
    assert [event.version for event in await log.read("demo", "order-1", after=1)] == [2, 3]


async def test_whoever_expects_any_version_is_never_refused(log: Log) -> None:
    for _ in range(3):
        await log.append("order-1", [new()], expected=ANY, cause=CAUSE)

    assert [event.version for event in await log.read("demo", "order-1")] == [1, 2, 3]


async def test_a_repeated_append_answers_the_first_result(log: Log) -> None:
    events = [new(), new()]
    first = await log.append("order-1", events, expected=NO_STREAM, cause=CAUSE)
    await log.append("order-1", [new()], expected=2, cause=CAUSE)

    again = await log.append("order-1", events, expected=NO_STREAM, cause=CAUSE)

    assert again == first
    assert len(await everything(log)) == 3


async def test_an_event_id_belongs_to_one_append(log: Log) -> None:
    event = new()
    await log.append("order-1", [event], expected=NO_STREAM, cause=CAUSE)

    for stream, events in (("order-2", [event]), ("order-1", [event, new()])):
        with pytest.raises(EventIdReused):
            await log.append(stream, events, expected=ANY, cause=CAUSE)

    assert len(await everything(log)) == 1


async def test_an_append_cannot_name_an_id_twice(log: Log) -> None:
    event = new()

    with pytest.raises(EventIdReused):
        await log.append("order-1", [event, event], expected=NO_STREAM, cause=CAUSE)

    assert await everything(log) == []


async def test_the_same_stream_of_two_tenants_is_two_streams(log: Log) -> None:
    for tenant in ("demo", "other"):
        await log.append("order-1", [new()], expected=NO_STREAM, cause=Cause(tenant=tenant))

    assert [event.cause.tenant for event in await log.read("other", "order-1")] == ["other"]


async def test_a_nul_character_is_refused_and_its_escape_is_not(log: Log) -> None:
    with pytest.raises(Rejected):
        await log.append_facts([fact(data=rb'{"code": "a\u0000b"}')], cause=CAUSE)

    await log.append_facts([fact(data=rb'{"code": "a\\u0000b"}')], cause=CAUSE)

    assert len(await everything(log)) == 1


@pytest.mark.parametrize(
    ("stream", "cause", "data"),
    [
        ("", CAUSE, b"{}"),
        ("x" * 201, CAUSE, b"{}"),
        ("a\0b", CAUSE, b"{}"),
        ("a\ud800b", CAUSE, b"{}"),
        ("order-1", Cause(tenant=""), b"{}"),
        ("order-1", Cause(tenant="*"), b"{}"),
        ("order-1", Cause(tenant="demo", actor="a\0b"), b"{}"),
        ("order-1", Cause(tenant="demo", actor="a\ud800b"), b"{}"),
        ("order-1", CAUSE, b"{not json"),
        ("order-1", CAUSE, b'{"a": "\xff"}'),
        ("order-1", CAUSE, b'{"a": "' + b"x" * 500_000 + b'"}'),
    ],
    ids=[
        "empty",
        "long",
        "nul",
        "surrogate",
        "no-tenant",
        "all-tenants",
        "nul-actor",
        "bad-actor",
        "text",
        "bytes",
        "big",
    ],
)
async def test_what_cannot_be_stored_is_rejected_alone(
    log: Log, stream: str, cause: Cause, data: bytes
) -> None:
    bad = log.append(stream, [new(data=data)], expected=ANY, cause=cause)
    good = [log.append(f"order-{n}", [new()], expected=ANY, cause=CAUSE) for n in range(2, 5)]

    *answers, refused = await asyncio.gather(*good, bad, return_exceptions=True)

    assert isinstance(refused, Rejected), refused
    assert [getattr(answer, "version", answer) for answer in answers] == [1] * 3
    assert len(await everything(log)) == 3


async def test_ids_of_one_append_in_another_order_are_not_a_repeat(log: Log) -> None:
    events = [new(), new()]
    await log.append("order-1", events, expected=ANY, cause=CAUSE)

    with pytest.raises(EventIdReused):
        await log.append("order-1", events[::-1], expected=ANY, cause=CAUSE)


async def test_nothing_appended_is_told_as_nothing(log: Log) -> None:
    await log.append("order-1", [new()], expected=ANY, cause=CAUSE)

    assert (await log.append("order-1", [], expected=1, cause=CAUSE)).version == 1
    assert (await log.append_facts([], cause=CAUSE)).new == frozenset()
    assert len(await everything(log)) == 1


async def test_pages_give_all_events_once_by_position(log: Log) -> None:
    for number in range(7):
        await log.append(f"order-{number % 2}", [new()], expected=ANY, cause=CAUSE)

    positions = [event.position for event in await everything(log, page=2)]

    assert len(positions) == 7
    assert positions == sorted(positions)


async def test_a_past_moment_of_the_log_stays_as_it_was(log: Log) -> None:
    await log.append("order-1", [new()], expected=ANY, cause=CAUSE)
    moment = await log.now()
    await log.append("order-1", [new()], expected=ANY, cause=CAUSE)

    past = [event async for page in log.read_all(as_of=moment) for event in page]

    assert [event.version for event in past] == [1]


async def test_of_many_writers_at_one_version_exactly_one_wins(log: Log) -> None:
    async def write() -> bool:
        try:
            await log.append("order-1", [new()], expected=NO_STREAM, cause=CAUSE)
        except VersionConflict:
            return False
        return True

    wins = await asyncio.gather(*(write() for _ in range(32)))

    assert sum(wins) == 1
    assert len(await log.read("demo", "order-1")) == 1


async def test_a_bad_append_does_not_fail_its_neighbours(log: Log) -> None:
    good = [log.append(f"order-{n}", [new()], expected=NO_STREAM, cause=CAUSE) for n in range(5)]
    bad = log.append("order-9", [new(data=rb'{"x": "\u0000"}')], expected=ANY, cause=CAUSE)

    *answers, refused = await asyncio.gather(*good, bad, return_exceptions=True)

    assert isinstance(refused, Rejected)
    assert [getattr(answer, "version", answer) for answer in answers] == [1] * 5
