"""How records are asked for: nobody sleeps while some are there, nobody asks without a pause."""

import asyncio
from typing import Any

from libs.messaging.subscription import make_patient


class Slow:
    """A consumer with nothing for a while, which says so when the time is over."""

    def __init__(self, *answers: Any) -> None:
        self.answers = [*answers]
        self.asked: list[int] = []

    async def getmany(self, *_: Any, timeout_ms: int, max_records: int) -> Any:
        self.asked.append(timeout_ms)
        answer = self.answers.pop(0)
        if not answer:
            await asyncio.sleep(timeout_ms / 1000)
        return answer


async def test_a_poll_lasts_until_something_came() -> None:
    consumer = Slow({}, {}, {"lane": ["record"]})
    make_patient(consumer)

    assert await consumer.getmany(timeout_ms=10, max_records=5) == {"lane": ["record"]}
    assert len(consumer.asked) == 3


async def test_a_consumer_that_says_nothing_at_once_is_not_asked_on_and_on() -> None:
    class Closed(Slow):
        async def getmany(self, *_: Any, timeout_ms: int, max_records: int) -> Any:
            self.asked.append(timeout_ms)
            return {}

    consumer = Closed()
    make_patient(consumer)

    assert await consumer.getmany(timeout_ms=10, max_records=5) == {}
    assert len(consumer.asked) == 1
