"""Dashboard queries of the past (`as_of`)."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from libs.testing.callers import client_of
from tests.services.ingest.history import event
from tests.services.ingest.service import BATCH, BOXES, STATE, Service
from tests.services.ingest.shift import a_step, sent, some_scans

FEED = 4
"""Shorter than what there is, so that it matters which rows are the newest."""

QUESTIONS: list[dict[str, str]] = [
    {},
    {"date": "2025-10-29", "date_end": "2025-11-01"},
    {"date": "2025-10-30"},
    {"client": "ivancov", "operator": "anna"},
    {"city": "—", "date": "2025-10-29", "date_end": "2025-10-31"},
]
Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
def ask(ingest: Service) -> Ask:
    """Queries with a short feed; the response is without its time."""
    short = ingest.built(feed_length=FEED)

    async def state_at(path: str = STATE, *, at: datetime | None = None, **params: str) -> Any:
        past = {} if at is None else {"as_of": at.isoformat()}
        async with client_of(short, dict(ingest.viewer.headers)) as viewer:
            answer = await viewer.get(path, params=params | past)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        del body["generatedAt"]
        return body

    return state_at


@pytest.mark.parametrize("seed", range(4))
async def test_every_instant_gets_the_response_it_had_then(
    ingest: Service, ask: Ask, seed: int
) -> None:
    random = Random(seed)
    then: list[tuple[datetime, dict[str, list[Any]]]] = []
    remembered = {19, *Random(seed).sample(range(19), 7)}
    for step in range(20):
        await a_step(random, ingest)
        await ingest.send(*some_scans(random, ingest.clock), by=ingest.stranger)
        if step in remembered:
            answers = {
                path: [await ask(path, **params) for params in QUESTIONS] for path in (STATE, BOXES)
            }
            then.append((ingest.clock.now, answers))

    assert any(answers[STATE][1]["summary"]["removed"] for _, answers in then)
    assert any(answers[BOXES][1]["totalItems"] for _, answers in then)
    ingest.clock.advance(days=3)
    for instant, answers in random.sample(then, 8):
        for path, known in answers.items():
            for params, answer in zip(QUESTIONS, known, strict=True):
                assert await ask(path, at=instant, **params) == answer, (path, params, instant)


async def test_the_feed_of_a_day_is_not_displaced_by_the_next_day(
    ingest: Service, ask: Ask
) -> None:
    ingest.clock.now = datetime(2025, 10, 31, 21, 4, tzinfo=UTC)
    await ingest.send(*(sent(n, ingest.clock.now - timedelta(minutes=10)) for n in range(3)))
    ingest.clock.advance(seconds=1)
    await ingest.send(*(sent(10 + n, ingest.clock.now - timedelta(minutes=2)) for n in range(5)))

    live = await ask(date="2025-10-31")

    assert len(live["feed"]) == 3
    assert await ask(date="2025-10-31", at=ingest.clock.now) == live


async def test_without_a_date_the_day_is_that_of_the_instant(ingest: Service, ask: Ask) -> None:
    await ingest.device.post(BATCH, json={"events": [event(1)]})
    ingest.clock.advance(days=10)

    past = await ask(as_of="2025-10-31T12:30:00+03:00")

    assert past["summary"]["items"] == 1
    assert past["operators"][0]["onlineAgeSec"] == 30 * 60
    assert past["filters"]["date"] is None
    assert (await ask())["summary"]["items"] == 0


async def test_a_future_instant_means_now(ingest: Service, ask: Ask) -> None:
    await ingest.send(event(1))

    assert await ask(as_of="2099-01-01T00:00:00Z") == await ask()


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_the_ends_of_the_calendar_are_empty(ask: Ask, day: str) -> None:
    for path in (STATE, BOXES):
        assert (await ask(path, date=day, as_of="2025-10-31T12:00:00Z"))["clients"] == []


async def test_a_query_of_the_past_does_not_change_the_present(ingest: Service, ask: Ask) -> None:
    await ingest.send(event(1))
    ingest.clock.advance(minutes=1)
    before = await ask()

    # On the same few connections, so that a statement prepared for one would serve the other.
    for _ in range(4):
        assert (await ask(as_of="2025-10-31T00:00:00Z"))["operators"] == []
        assert await ask() == before


async def test_the_last_scan_of_an_operator_on_another_day_is_found(
    ingest: Service, ask: Ask
) -> None:
    await ingest.send(sent(1, ingest.clock.now - timedelta(days=1)))
    ingest.clock.advance(minutes=10)
    # More than are read first, and all recorded at once.
    await ingest.send(*(sent(100 + n, ingest.clock.now - timedelta(days=3)) for n in range(90)))
    ingest.clock.advance(minutes=2)
    live = await ask(date="2025-10-30")
    instant = ingest.clock.now
    ingest.clock.advance(days=1)

    assert live["operators"][0]["onlineAgeSec"] == 120
    assert await ask(date="2025-10-30", at=instant) == live


async def test_one_query_of_the_past_too_many_is_503_with_a_time_to_retry(ingest: Service) -> None:
    past = {"as_of": "2025-10-31T00:00:00Z"}
    async with ingest.deps.as_of_slots:
        refused = await ingest.viewer.get(STATE, params=past)
        present = await ingest.viewer.get(STATE)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert present.status_code == 200
    assert (await ingest.viewer.get(STATE, params=past)).status_code == 200
