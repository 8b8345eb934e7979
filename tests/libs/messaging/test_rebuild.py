"""Building a read model beside the live one, under load, and comparing the two."""

import asyncio
from typing import Any
from uuid import uuid4

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from tests.libs.messaging.lab import Cursed, Lab, Numbered, eventually, order, running
from tests.libs.messaging.load import INSERT
from tests.libs.messaging.rebuilding import (
    STREAMS,
    append,
    appending,
    expected,
    has_next,
    parked,
    reading,
    rebuild,
)


async def test_a_model_rebuilt_and_switched_under_load_is_the_same_and_misses_nothing(
    lab: Lab,
) -> None:
    await append(lab, range(300))
    async with running(lab.relay(), lab.projector()):
        await eventually(lab.rows, expected(300))
        async with appending(lab, range(300, 700)):
            diffs = await rebuild(lab).build()
            assert [(diff.table, diff.same) for diff in diffs] == [("ledger", True)]
            assert diffs[0].rows == STREAMS
            async with reading(lab) as counted:
                await rebuild(lab).switch()
        await eventually(lab.rows, expected(700))
        await append(lab, range(700, 720))
        await eventually(lab.rows, expected(720))

    for one in counted:
        assert one == sorted(one)
        assert min(one) >= 300


async def test_a_corrupted_model_shows_in_the_difference_with_samples(lab: Lab) -> None:
    await append(lab, range(20))
    async with running(lab.relay(), lab.projector()):
        await eventually(lab.rows, expected(20))
        await lab.pool.execute("UPDATE ledger SET seen = '{666}' WHERE stream = $1", order(1))
        await lab.pool.execute("DELETE FROM ledger WHERE stream = $1", order(2))
        (diff,) = await rebuild(lab).build()

    assert (diff.same, diff.rows, diff.only_live, diff.only_next) == (False, 5, 1, 2)
    assert len(diff.samples) == 3
    assert {edition for edition, row in diff.samples if "[666]" in row} == {"live"}


async def test_transactions_open_at_the_cut_count_once(lab: Lab) -> None:
    await append(lab, range(20))
    async with (
        running(lab.relay(), lab.projector()),
        lab.pool.acquire() as early,
        lab.pool.acquire() as late,
    ):
        await eventually(lab.rows, expected(20))
        for connection, stream in ((early, "order-early"), (late, "order-late")):
            await connection.execute("BEGIN")
            await connection.execute(INSERT, uuid4(), stream, 1)
        build = asyncio.create_task(rebuild(lab).build())
        await eventually(lambda: has_next(lab), True)
        await early.execute("COMMIT")
        assert (await build)[0].same
        await late.execute("COMMIT")
        await rebuild(lab).switch()
        await eventually(lab.rows, {**expected(20), "order-early": [1], "order-late": [1]})


async def test_a_rebuild_tries_again_what_was_parked(lab: Lab) -> None:
    await lab.append("order-1", Numbered(1), Cursed(2), Numbered(3))
    async with running(lab.relay(), lab.projector()):
        await eventually(lambda: parked(lab), [("order-1", 2)])
        lab.ledger.cursed = False
        (diff,) = await rebuild(lab).build()
        assert (diff.only_live, diff.only_next) == (1, 1)
        assert await parked(lab) == [("order-1", 2)]
        await rebuild(lab).switch()
        assert await parked(lab) == []
        await lab.append("order-1", Numbered(4))
        await eventually(lab.rows, {"order-1": [1, 2, 3, 4]})


async def test_a_model_whose_topic_lost_its_beginning_is_rebuilt_from_the_log(lab: Lab) -> None:
    await append(lab, range(60))
    async with running(lab.relay()):
        await eventually(lab.published, 60)
        await _delete_records(lab, {0: 5, 1: 5, 2: 5})
        projector = lab.projector()
        told: list[str] = []
        async with running(projector):
            await eventually(lambda: _says(projector, "rebuild this read model"), True)
            assert await lab.rows() == {}
            building = rebuild(lab)
            building._tell = lambda what, *_: told.append(what)
            await building.build()
            await building.switch()
            await eventually(lab.rows, expected(60))
            await append(lab, range(60, 80))
            await eventually(lab.rows, expected(80))
            await eventually(lambda: _says(projector, ""), True)

    assert any("stands still" in what for what in told)


async def test_a_model_the_topic_did_not_wait_for_is_rebuilt_from_the_log(lab: Lab) -> None:
    await append(lab, range(30))
    async with running(lab.relay()):
        async with running(lab.projector()):
            await eventually(lab.rows, expected(30))
        await append(lab, range(30, 60))
        await eventually(lab.published, 60)
        await _delete_records(lab, {0: -1, 1: -1, 2: -1})  # all there is

        await rebuild(lab).build()
        await rebuild(lab).switch()
        async with running(lab.projector()):
            await append(lab, range(60, 80))
            await eventually(lab.rows, expected(80))


async def _says(projector: Any, words: str) -> bool:
    said = projector.progress.broken
    return words in said if words and said else said is None and not words


async def _delete_records(lab: Lab, before: dict[int, int]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=lab.bootstrap)
    await admin.start()
    await admin.delete_records(
        {TopicPartition(lab.topic, at): RecordsToDelete(n) for at, n in before.items()}
    )
    await admin.close()


async def test_a_rebuild_broken_off_is_begun_anew(lab: Lab) -> None:
    await append(lab, range(30))
    async with running(lab.relay(), lab.projector()):
        await eventually(lab.rows, expected(30))
        broken_off = asyncio.create_task(rebuild(lab).build())
        await eventually(lambda: has_next(lab), True)
        broken_off.cancel()
        await asyncio.wait([broken_off])
        assert await lab.rows() == expected(30)

        (diff,) = await rebuild(lab).build()
        assert diff.same
        await rebuild(lab).switch()
        assert await lab.rows() == expected(30)


async def test_when_a_row_was_written_is_no_difference(lab: Lab) -> None:
    await lab.pool.execute(
        "ALTER TABLE ledger ADD COLUMN changed xid8 NOT NULL DEFAULT pg_current_xact_id()"
    )
    async with running(lab.relay(), lab.projector()):
        await append(lab, range(20))
        await eventually(lab.rows, expected(20))
        (diff,) = await rebuild(lab).build()

    assert diff.same
    assert diff.rows == STREAMS
