"""What supervisors look at, as it was known at an earlier instant."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from services.ingest.bootstrap import create_app
from services.ingest.deps import Deps
from tests.services.ingest.shift import BATCH, a_step, sent, some_scans
from tests.services.ingest.told import Clock, Projector

STATE = "/api/v1/dashboard/state"
BOXES = "/api/v1/dashboard/boxes"

FEED = 4
"""Shorter than what there is, so that it matters which rows are the newest."""

QUESTIONS: list[dict[str, str]] = [
    {},
    {"date": "2025-10-29", "date_end": "2025-11-01"},
    {"date": "2025-10-30"},
    {"client": "ivancov", "operator": "anna"},
    {"city": "—", "date": "2025-10-29", "date_end": "2025-10-31"},
]


@pytest.fixture
async def viewer(app: FastAPI, viewer: AsyncClient) -> AsyncIterator[AsyncClient]:
    """Somebody who looks at a short feed."""
    deps: Deps = app.state.deps
    short = create_app(
        replace(deps, settings=deps.settings.model_copy(update={"feed_length": FEED}))
    )
    async with AsyncClient(
        transport=ASGITransport(short, raise_app_exceptions=False),
        base_url="http://ingest",
        headers=viewer.headers,
    ) as made:
        yield made


async def timeless(viewer: AsyncClient, path: str = STATE, **asked: str) -> Any:
    """An answer without the time it was given."""
    answer = await viewer.get(path, params=asked)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    del told["generatedAt"]
    return told


@pytest.mark.parametrize("seed", range(4))
async def test_every_instant_is_answered_as_it_was_answered_then(
    device: AsyncClient,
    remover: AsyncClient,
    viewer: AsyncClient,
    stranger: AsyncClient,
    projector: Projector,
    clock: Clock,
    seed: int,
) -> None:
    random = Random(seed)
    then: list[tuple[datetime, dict[str, list[Any]]]] = []
    for _ in range(20):
        await a_step(random, device, remover, clock)
        await stranger.post(BATCH, json={"events": some_scans(random, clock)})
        await projector.catch_up()
        answers = {
            path: [await timeless(viewer, path, **asked) for asked in QUESTIONS]
            for path in (STATE, BOXES)
        }
        then.append((clock.now, answers))

    assert any(answers[STATE][0]["summary"]["removed"] for _, answers in then)
    assert any(answers[BOXES][1]["totalItems"] for _, answers in then)
    clock.pass_by(days=3)
    for instant, answers in random.sample(then, 8):
        for path, told in answers.items():
            for asked, answer in zip(QUESTIONS, told, strict=True):
                past = asked | {"as_of": instant.isoformat()}
                assert await timeless(viewer, path, **past) == answer, (path, past)


async def test_the_feed_of_a_day_is_not_crowded_out_by_the_next(
    device: AsyncClient, viewer: AsyncClient, projector: Projector, clock: Clock
) -> None:
    clock.now = datetime(2025, 10, 31, 21, 4, tzinfo=UTC)
    evening = [sent(n, clock.now - timedelta(minutes=10)) for n in range(3)]
    await device.post(BATCH, json={"events": evening})
    clock.pass_by(seconds=1)
    night = [sent(10 + n, clock.now - timedelta(minutes=2)) for n in range(5)]
    await device.post(BATCH, json={"events": night})
    await projector.catch_up()
    asked = {"date": "2025-10-31"}

    live = await timeless(viewer, **asked)

    assert len(live["feed"]) == 3
    assert await timeless(viewer, **asked, as_of=clock.now.isoformat()) == live


async def test_before_anything_there_was_nothing(
    device: AsyncClient, viewer: AsyncClient, clock: Clock
) -> None:
    empty = await timeless(viewer)
    clock.pass_by(minutes=1)
    await device.post(BATCH, json={"events": [sent(1, clock.now)]})
    just_before = clock.now - timedelta(microseconds=1)

    assert await timeless(viewer, as_of=just_before.isoformat()) == empty
    known = await timeless(viewer, as_of=clock.now.isoformat())
    assert known["summary"]["items"] == 1


async def test_without_a_date_the_day_is_that_of_the_instant(
    device: AsyncClient, viewer: AsyncClient, clock: Clock
) -> None:
    await device.post(BATCH, json={"events": [sent(1, clock.now)]})
    clock.pass_by(days=10)

    told = await timeless(viewer, as_of="2025-10-31T12:30:00+03:00")

    assert told["summary"]["items"] == 1
    assert told["operators"][0]["onlineAgeSec"] == 30 * 60
    assert told["filters"]["date"] is None
    assert (await timeless(viewer))["summary"]["items"] == 0


async def test_an_instant_yet_to_come_is_the_present(
    device: AsyncClient, viewer: AsyncClient, projector: Projector, clock: Clock
) -> None:
    await device.post(BATCH, json={"events": [sent(1, clock.now)]})
    await projector.catch_up()

    told = await timeless(viewer, as_of="2099-01-01T00:00:00Z")

    assert told == await timeless(viewer)


@pytest.mark.parametrize(
    "as_of",
    [
        "2025-10-31T12:00:00",
        "2025-10-31",
        "yesterday",
        "2025-02-30T12:00:00Z",
        "2025-10-31T12:00:61Z",
        "0001-01-01T00:00:00+23:00",
        "2025-10-31T12:00:00+0300",
        "٢٠٢٥-10-31T12:00:00Z",
        "a\0b",
    ],
)
async def test_an_instant_without_sense_is_400(viewer: AsyncClient, as_of: str) -> None:
    answer = await viewer.get(STATE, params={"as_of": as_of})

    assert answer.status_code == 400
    assert as_of not in answer.json()["detail"]


@pytest.mark.parametrize("path", [STATE, BOXES])
@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_the_ends_of_the_calendar_are_empty(viewer: AsyncClient, path: str, day: str) -> None:
    told = await timeless(viewer, path, date=day, as_of="2025-10-31T12:00:00Z")

    assert told["clients"] == []


async def test_looking_back_leaves_the_present_alone(
    device: AsyncClient, viewer: AsyncClient, projector: Projector, clock: Clock
) -> None:
    await device.post(BATCH, json={"events": [sent(1, clock.now)]})
    await projector.catch_up()
    clock.pass_by(minutes=1)
    before = await timeless(viewer)

    # On the same few connections, so that a statement prepared for one would serve the other.
    for _ in range(4):
        empty = await timeless(viewer, as_of="2025-10-31T00:00:00Z")
        assert empty["operators"] == []
        assert await timeless(viewer) == before


async def test_who_was_heard_of_last_on_another_day_is_known(
    device: AsyncClient, viewer: AsyncClient, projector: Projector, clock: Clock
) -> None:
    await device.post(BATCH, json={"events": [sent(1, clock.now - timedelta(days=1))]})
    clock.pass_by(minutes=10)
    # More than are looked at first, and all recorded at once.
    many = [sent(100 + n, clock.now - timedelta(days=3)) for n in range(90)]
    await device.post(BATCH, json={"events": many})
    await projector.catch_up()
    clock.pass_by(minutes=2)
    live = await timeless(viewer, date="2025-10-30")
    instant = clock.now
    clock.pass_by(days=1)

    assert live["operators"][0]["onlineAgeSec"] == 120
    assert await timeless(viewer, date="2025-10-30", as_of=instant.isoformat()) == live


async def test_who_is_one_too_many_to_look_back_is_told_to_come_again(
    app: FastAPI, viewer: AsyncClient
) -> None:
    deps: Deps = app.state.deps
    async with deps.looking_back:
        refused = await viewer.get(STATE, params={"as_of": "2025-10-31T00:00:00Z"})
        present = await viewer.get(STATE)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert present.status_code == 200
    assert (await viewer.get(STATE, params={"as_of": "2025-10-31T00:00:00Z"})).status_code == 200
