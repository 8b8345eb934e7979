"""Sending a page: all of it confirmed, or a publisher that is thrown away without a trace."""

import asyncio

import pytest

from libs.messaging.publisher import SpentPublisher
from libs.messaging.wire import decode
from libs.testing.waiting import PATIENCE_SECONDS
from tests.libs.messaging.chain import faults_of
from tests.libs.messaging.faulty import hanging_broker
from tests.libs.messaging.lab import Lab, order
from tests.libs.messaging.wires import recorded


async def test_a_page_bigger_than_a_batch_keeps_its_order(lab: Lab) -> None:
    text = b'{"n": "' + b"x" * 200_000 + b'"}'
    events = [recorded(n, version=n, data=text) for n in range(1, 11)]
    publisher = await lab.connect()

    heads = await publisher.publish(events, 1, {})
    await publisher.close()

    records = await lab.records()
    assert [decode(record).relay_seq for record in records] == list(range(1, 11))
    assert faults_of(records) == []
    assert [*heads.values()] == [10]


async def test_the_biggest_event_the_log_takes_can_be_sent(lab: Lab) -> None:
    text = b'"' + b"x" * 499_998 + b'"'
    publisher = await lab.connect()

    await publisher.publish([recorded(1, data=text), recorded(2, version=2, data=text)], 1, {})
    await publisher.close()

    assert [record.value for record in await lab.records()] == [text, text]


async def test_heads_of_lanes_that_got_nothing_stay_as_they_are(lab: Lab) -> None:
    publisher = await lab.connect()
    (lane,) = await publisher.publish([recorded(1, order(1))], 8, {})

    again = await publisher.publish([recorded(2, order(1), version=2)], 9, {lane: 8, ("x", 1): 3})
    await publisher.close()

    assert again == {lane: 9}
    assert [decode(record).prev_seq for record in await lab.records()] == [0, 8]


async def test_a_publisher_that_is_too_slow_is_spent_and_leaves_nothing_behind(lab: Lab) -> None:
    before = asyncio.all_tasks()
    publisher = await lab.connect()
    await publisher.publish([recorded(1)], 1, {})
    publisher._deadline = 0

    with pytest.raises(SpentPublisher):
        await publisher.publish([recorded(n, order(n)) for n in range(2, 50)], 2, {})
    await publisher.close()
    await asyncio.sleep(0)

    assert asyncio.all_tasks() <= before


@pytest.mark.xdist_group("own_kafka")
async def test_a_broker_that_hangs_is_left_and_without_a_trace(breakable_lab: Lab) -> None:
    lab, before = breakable_lab, asyncio.all_tasks()
    publisher = await lab.connect()
    await publisher.publish([recorded(1)], 1, {})
    publisher._deadline = 0.3  # its lanes are known, so only the sending is late

    with hanging_broker(lab.bootstrap):
        with pytest.raises(SpentPublisher, match="not confirmed"):
            await publisher.publish([recorded(n, order(n)) for n in range(2, 50)], 2, {})
        await asyncio.wait_for(publisher.close(), PATIENCE_SECONDS)

    assert asyncio.all_tasks() <= before
