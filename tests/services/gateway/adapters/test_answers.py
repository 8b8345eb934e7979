"""Answers kept for repeated requests, in Postgres: one claim at a time, one answer for a day."""

from dataclasses import replace

import pytest

from libs.postgres.pool import Pool
from libs.testing.clock import Seconds
from services.gateway.adapters.answers import Answer, Answers, Asking, Claim, InFlight

ASKING = Asking(tenant="demo", caller="anna", key=b"k" * 32, fingerprint=b"f" * 32)
ANSWER = Answer(status=201, headers=[(b"location", b"/1"), (b"x-\xe9", b"\xff")], body=b"\x00made")


@pytest.fixture
def answers(own_pool: Pool) -> Answers:
    return Answers(own_pool)


async def claimed(answers: Answers, asking: Asking = ASKING) -> Claim:
    claim = await answers.claim(asking, seconds=60)
    assert isinstance(claim, Claim)
    return claim


async def test_an_answer_comes_back_as_it_was_and_is_not_released(answers: Answers) -> None:
    claim = await claimed(answers)
    await answers.finish(claim, ANSWER)
    assert await answers.claim(ASKING, seconds=60) == ANSWER

    await answers.release(claim)

    assert await answers.claim(ASKING, seconds=60) == ANSWER


async def test_a_lost_claim_neither_finishes_nor_releases(answers: Answers, own_pool: Pool) -> None:
    lost = await claimed(answers)
    await own_pool.execute("UPDATE idempotency SET in_flight_until = now()")
    mine = await claimed(answers)

    await answers.release(lost)
    await answers.finish(lost, Answer(status=400, headers=[], body=b"late"))
    with pytest.raises(InFlight):
        await answers.claim(ASKING, seconds=60)
    await answers.finish(mine, ANSWER)

    assert await answers.claim(ASKING, seconds=60) == ANSWER


async def test_what_is_older_than_a_day_is_swept_away(own_pool: Pool) -> None:
    seconds = Seconds()
    answers = Answers(own_pool, now=seconds)
    await claimed(answers)
    await own_pool.execute("UPDATE idempotency SET kept_until = now()")
    other = replace(ASKING, tenant="other", caller="ben", key=b"o" * 32)
    await claimed(answers, other)
    before = await own_pool.fetchval("SELECT count(*) FROM idempotency")

    seconds.advance(61)
    await answers.release(await claimed(answers, replace(other, key=b"p" * 32)))

    assert before == 2
    assert await own_pool.fetchval("SELECT array_agg(tenant) FROM idempotency") == ["other"]
