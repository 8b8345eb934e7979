"""Every log keeps the same promises about facts."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest

from libs.eventsourcing.log import (
    ANY,
    EventIdReused,
    Log,
    NewFact,
    VersionConflict,
)
from tests.libs.eventsourcing.events import CAUSE, everything, fact, new


async def test_facts_say_which_were_new(log: Log) -> None:
    known, fresh = fact(), fact()
    first = await log.append_facts([known], cause=CAUSE)

    second = await log.append_facts([fresh, known, fresh], cause=CAUSE)

    assert first.new == {known.event_id}
    assert second.new == {fresh.event_id}
    assert len(await everything(log)) == 2


async def test_the_token_of_facts_names_the_transaction_of_the_known_ones_too(log: Log) -> None:
    known = fact()
    first = await log.append_facts([known], cause=CAUSE)

    again = await log.append_facts([known], cause=CAUSE)
    mixed = await log.append_facts([known, fact()], cause=CAUSE)

    assert again.token == first.token
    assert set(mixed.token.split(",")) > {first.token}


async def test_facts_have_no_version_and_no_place_in_the_stream(log: Log) -> None:
    await log.append_facts([fact()], cause=CAUSE)

    (recorded,) = await everything(log)
    assert recorded.version is None
    assert await log.read("demo", "scan-1") == []


async def test_found_are_only_those_in_the_log(log: Log) -> None:
    known = fact()
    await log.append_facts([known], cause=CAUSE)

    found = await log.find([known.event_id, uuid4()])

    assert set(found) == {known.event_id}


async def test_a_fact_is_not_appended_again_as_an_event(log: Log) -> None:
    known = fact()
    await log.append_facts([known], cause=CAUSE)

    with pytest.raises(EventIdReused):
        await log.append("scan-1", [new(known.event_id)], expected=ANY, cause=CAUSE)


async def test_parallel_identical_facts_are_counted_once(log: Log) -> None:
    batch: Sequence[NewFact] = [fact() for _ in range(20)]

    answers = await asyncio.gather(*(log.append_facts(batch, cause=CAUSE) for _ in range(12)))

    assert sum(len(answer.new) for answer in answers) == 20
    assert len(await everything(log)) == 20


async def test_facts_bound_to_an_append_are_written_with_it(log: Log) -> None:
    bound = fact()
    first = new()

    appended = await log.append("order-1", [first], expected=0, cause=CAUSE, facts=[bound])

    written = {event.event_id: event for event in await everything(log)}
    assert set(written) == {first.event_id, bound.event_id}
    assert len({event.xid for event in written.values()}) == 1
    assert written[bound.event_id].version is None
    assert appended.version == 1


async def test_an_append_falls_with_a_fact_that_was_told_before(log: Log) -> None:
    told, untold = fact(), fact()
    await log.append_facts([told], cause=CAUSE)

    with pytest.raises(VersionConflict):
        await log.append("order-1", [new()], expected=0, cause=CAUSE, facts=[untold, told])

    assert [event.event_id for event in await everything(log)] == [told.event_id]


async def test_a_repeated_append_with_bound_facts_answers_its_first_result(log: Log) -> None:
    event, bound = new(), fact()
    first = await log.append("order-1", [event], expected=0, cause=CAUSE, facts=[bound])

    assert await log.append("order-1", [event], expected=0, cause=CAUSE, facts=[bound]) == first
    assert len(await everything(log)) == 2


async def test_of_many_appends_that_bind_the_same_fact_one_wins(log: Log) -> None:
    bound = fact()

    async def claim(number: int) -> bool:
        try:
            await log.append(f"order-{number}", [new()], expected=0, cause=CAUSE, facts=[bound])
        except VersionConflict:
            return False
        return True

    won = await asyncio.gather(*(claim(number) for number in range(16)))

    assert sum(won) == 1
    assert len(await everything(log)) == 2


async def test_a_bound_fact_is_new_to_its_append_only(log: Log) -> None:
    bound = fact()

    _, told = await asyncio.gather(
        log.append("order-1", [new()], expected=0, cause=CAUSE, facts=[bound]),
        log.append_facts([bound], cause=CAUSE),
    )

    assert not told.new
    assert len(await everything(log)) == 2
