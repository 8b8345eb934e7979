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
