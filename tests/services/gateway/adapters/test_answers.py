"""What was answered before, in Postgres."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from services.gateway.adapters.answers import Answer, Answers, Asking, Claim, InFlight

ASKING = Asking(tenant="demo", caller="anna", key=b"k" * 32, fingerprint=b"f" * 32)
ANSWER = Answer(status=201, headers=[(b"location", b"/1"), (b"x-\xe9", b"\xff")], body=b"\x00made")


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """The gateway's own, on a migrated database."""
    made = await open_pool(
        database,
        role=application_role("gateway"),
        schema="gateway",
        size=5,
        application_name="test",
        tenant_scope=SYSTEM,
    )
    yield made
    await made.close()


async def claimed(answers: Answers, asking: Asking = ASKING) -> Claim:
    claim = await answers.claim(asking, seconds=60)
    assert isinstance(claim, Claim)
    return claim


async def test_an_answer_comes_back_as_it_was(pool: Pool) -> None:
    answers = Answers(pool)
    await answers.finish(await claimed(answers), ANSWER)

    assert await answers.claim(ASKING, seconds=60) == ANSWER


async def test_of_many_claims_at_once_one_is_made(pool: Pool) -> None:
    made = await asyncio.gather(
        *[Answers(pool).claim(ASKING, seconds=60) for _ in range(20)], return_exceptions=True
    )

    assert sum(isinstance(one, Claim) for one in made) == 1
    assert sum(isinstance(one, InFlight) for one in made) == 19


async def test_who_lost_a_claim_can_neither_finish_nor_release_it(pool: Pool) -> None:
    answers = Answers(pool)
    lost = await claimed(answers)
    await pool.execute("UPDATE idempotency SET in_flight_until = now()")
    mine = await claimed(answers)

    await answers.release(lost)
    await answers.finish(lost, Answer(status=400, headers=[], body=b"late"))
    with pytest.raises(InFlight):
        await answers.claim(ASKING, seconds=60)
    await answers.finish(mine, ANSWER)

    assert await answers.claim(ASKING, seconds=60) == ANSWER


async def test_what_was_finished_is_not_released(pool: Pool) -> None:
    answers = Answers(pool)
    claim = await claimed(answers)
    await answers.finish(claim, ANSWER)

    await answers.release(claim)

    assert await answers.claim(ASKING, seconds=60) == ANSWER


async def test_what_is_older_than_a_day_is_swept_away(pool: Pool) -> None:
    time = 0.0
    answers = Answers(pool, now=lambda: time)
    await claimed(answers)
    await pool.execute("UPDATE idempotency SET kept_until = now()")
    other = Asking(tenant="other", caller="ben", key=b"o" * 32, fingerprint=b"f" * 32)
    await claimed(answers, other)
    before = await pool.fetchval("SELECT count(*) FROM idempotency")

    time = 61.0
    await answers.release(await claimed(answers, replace(other, key=b"p" * 32)))

    assert before == 2
    assert await pool.fetchval("SELECT array_agg(tenant) FROM idempotency") == ["other"]
