"""Building a read model beside the live one, under load, comparing the two, and switching between
them and back: nobody who reads notices."""

import asyncio
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from libs.messaging import parking
from libs.messaging.editions import NoSuchEdition
from libs.testing.waiting import PATIENCE_SECONDS, eventually
from tests.libs.messaging import rebuilding
from tests.libs.messaging.lab import (
    STREAMS,
    Cursed,
    Lab,
    Ledger,
    Numbered,
    expected,
    order,
    running,
)
from tests.libs.messaging.load import INSERT
from tests.libs.messaging.rebuilding import Tenfold, reading

# A live edition that is slow on a busy machine does not stand still.
rebuild = partial(rebuilding.rebuild, patience=PATIENCE_SECONDS)


async def has_next(lab: Lab) -> bool:
    query = "SELECT EXISTS (SELECT FROM generations WHERE state = 'next' AND base IS NOT NULL)"
    return bool(await lab.pool.fetchval(query))


async def parked(lab: Lab) -> list[tuple[str, int]]:
    listed = await parking.list_parked(lab.pool, "ledger")
    return sorted((one.stream, one.letters) for one in listed)


async def switch(lab: Lab, ledger: Ledger | None = None, **options: Any) -> None:
    await rebuild(lab, ledger, **options).build()
    await rebuild(lab, ledger, **options).switch()


async def test_a_model_rebuilt_and_switched_under_load_is_the_same_and_misses_nothing(
    lab: Lab,
) -> None:
    # When a row was written is no difference.
    changed = "ADD COLUMN changed xid8 NOT NULL DEFAULT pg_current_xact_id()"
    await lab.pool.execute(f"ALTER TABLE ledger {changed}")
    async with lab.live(300):
        appending = asyncio.create_task(lab.append_numbers(range(300, 700)))
        diffs = await rebuild(lab).build()
        assert [(diff.table, diff.same) for diff in diffs] == [("ledger", True)]
        assert diffs[0].rows == STREAMS
        async with reading(lab) as counted:
            await rebuild(lab).switch()
        await appending
        await lab.applied(700)
        await lab.append_numbers(range(700, 720))
        await lab.applied(720)

    for one in counted:
        assert one == sorted(one)
        assert min(one) >= 300


async def test_a_corrupted_model_shows_in_the_difference_with_samples(lab: Lab) -> None:
    async with lab.live(20):
        await lab.pool.execute("UPDATE ledger SET seen = '{666}' WHERE stream = $1", order(1))
        await lab.pool.execute("DELETE FROM ledger WHERE stream = $1", order(2))
        (diff,) = await rebuild(lab).build()

    assert (diff.same, diff.rows, diff.only_live, diff.only_next) == (False, 5, 1, 2)
    assert len(diff.samples) == 3
    assert {edition for edition, row in diff.samples if "[666]" in row} == {"live"}


async def test_transactions_open_at_the_cut_count_once(lab: Lab) -> None:
    async with lab.live(20), lab.pool.acquire() as early, lab.pool.acquire() as late:
        for connection, stream in ((early, "order-early"), (late, "order-late")):
            await connection.execute("BEGIN")
            await connection.execute(INSERT, uuid4(), stream, 1)
        build = asyncio.create_task(rebuild(lab).build())
        await eventually(lambda: has_next(lab))
        await early.execute("COMMIT")
        assert (await build)[0].same
        await late.execute("COMMIT")
        await rebuild(lab).switch()
        await eventually(lab.rows, {**expected(20), "order-early": [1], "order-late": [1]})


async def test_a_model_whose_topic_lost_its_beginning_is_rebuilt_from_the_log(lab: Lab) -> None:
    await lab.append_numbers(range(60))
    async with running(lab.relay()):
        await eventually(lab.published, 60)
        await lab.delete_records({0: 5, 1: 5, 2: 5})
        projector = lab.projector()
        told: list[str] = []
        async with running(projector):
            says = "rebuild this read model"
            await eventually(lambda: says in (projector.progress.broken or ""), what=says)
            assert await lab.rows() == {}
            building = rebuild(lab, patience=1)
            building._tell = lambda what, *_: told.append(what)
            await building.build()
            await building.switch()
            await lab.applied(60)
            await lab.append_numbers(range(60, 80))
            await lab.applied(80)
            await eventually(lambda: projector.progress.broken, None)

    assert any("stands still" in what for what in told)


async def test_a_model_the_topic_did_not_wait_for_is_rebuilt_from_the_log(lab: Lab) -> None:
    async with lab.live(30):
        pass
    await lab.append_numbers(range(30, 60))
    async with running(lab.relay()):
        await eventually(lab.published, 60)
        await lab.delete_records({0: -1, 1: -1, 2: -1})
        await switch(lab, patience=1)
        async with running(lab.projector()):
            await lab.append_numbers(range(60, 80))
            await lab.applied(80)


async def test_a_rebuild_broken_off_is_begun_anew(lab: Lab) -> None:
    async with lab.live(30):
        broken_off = asyncio.create_task(rebuild(lab).build())
        await eventually(lambda: has_next(lab))
        broken_off.cancel()
        await asyncio.wait([broken_off])
        assert await lab.rows() == expected(30)

        (diff,) = await rebuild(lab).build()
        assert diff.same
        await rebuild(lab).switch()
        assert await lab.rows() == expected(30)


async def test_reads_never_fail_and_never_go_back_while_editions_change(lab: Lab) -> None:
    async with lab.live(50), reading(lab) as counted:
        for _ in range(3):
            await switch(lab)

    assert sum(map(len, counted)) > 20
    assert {*counted[0], *counted[1]} == {50}


async def test_a_rewritten_projection_differs_is_switched_to_and_back(lab: Lab) -> None:
    tenfold = {
        stream: [(n + 100) * 10 for n in numbers] for stream, numbers in expected(20).items()
    }
    async with lab.live(20):
        (diff,) = await rebuild(lab, Tenfold()).build()
        assert (diff.only_live, diff.only_next) == (5, 5)
        assert await lab.rows() == expected(20)
        await rebuild(lab, Tenfold()).switch()
        assert await lab.rows() == tenfold
    await lab.append_numbers(range(20, 40))
    async with running(lab.relay(), lab.projector()):
        await rebuild(lab).roll_back()
        await lab.applied(40)


async def test_a_roll_back_catches_up_although_nothing_new_is_appended(lab: Lab) -> None:
    async with lab.live(20):
        await switch(lab)
        await lab.append_numbers(range(20, 60))
        await lab.applied(60)
        await rebuild(lab).roll_back()
        await lab.applied(60)
        # And forward again, with what was live before as next.
        await rebuild(lab).switch()
        assert await lab.rows() == expected(60)


async def test_what_each_edition_could_not_apply_goes_with_it(lab: Lab) -> None:
    await lab.append("order-1", Cursed(1), Numbered(2))
    async with running(lab.relay(), lab.projector()):
        await eventually(lambda: parked(lab), [("order-1", 2)])
        (diff,) = await rebuild(lab).build()
        assert diff.same
        await rebuild(lab).switch()
        assert await parked(lab) == [("order-1", 2)]
        await lab.append("order-1", Numbered(3))
        await eventually(lambda: parked(lab), [("order-1", 3)])

        await rebuild(lab, uncursed := Ledger()).build()
        uncursed.cursed = lab.ledger.cursed = False
        (diff,) = await rebuild(lab, uncursed).build()
        assert (diff.only_live, diff.only_next) == (0, 1)
        assert await parked(lab) == [("order-1", 3)]
        await rebuild(lab, uncursed).switch()
        assert await parked(lab) == []
        await lab.append("order-1", Numbered(4))
        await eventually(lab.rows, {"order-1": [1, 2, 3, 4]})

        lab.ledger.cursed = True
        await rebuild(lab).roll_back()
        await eventually(lambda: parked(lab), [("order-1", 4)])
        await lab.append("order-1", Numbered(5))
        await eventually(lambda: parked(lab), [("order-1", 5)])
        assert await lab.rows() == {}


async def test_rights_and_fences_survive_a_switch(lab: Lab) -> None:
    role = f"app_{uuid4().hex[:8]}"
    await lab.pool.execute(
        f"""CREATE ROLE {role}; GRANT USAGE ON SCHEMA public TO {role};
        GRANT SELECT, INSERT, UPDATE, DELETE ON ledger TO {role};
        CREATE INDEX ledger_seen ON ledger USING gin (seen);
        ALTER TABLE ledger ENABLE ROW LEVEL SECURITY; ALTER TABLE ledger FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON ledger USING (tenant = current_setting('lab.tenant', true))
            WITH CHECK (tenant = current_setting('lab.tenant', true));
        CREATE POLICY short ON ledger AS RESTRICTIVE FOR SELECT TO {role}
            USING (length(stream) < 50)"""
    )
    before = await _security(lab)
    async with lab.live(10):
        await switch(lab, role=role)

    assert await _security(lab) == before
    async with lab.pool.acquire() as connection, connection.transaction():
        await connection.execute(f"SET LOCAL ROLE {role}")
        assert await connection.fetchval("SELECT count(*) FROM ledger") == 0
        await connection.execute("SET LOCAL lab.tenant = 'demo'")
        assert await connection.fetchval("SELECT count(*) FROM ledger") == 5
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("INSERT INTO ledger VALUES ('other', 'x', '{}', '{}')")


async def _security(lab: Lab) -> list[Any]:
    """What protects the live table, and its indexes' definitions."""
    policies = """SELECT policyname, permissive, roles, cmd, qual, with_check FROM pg_policies
        WHERE schemaname = 'public' AND tablename = 'ledger' ORDER BY 1"""
    fences = """SELECT relrowsecurity, relforcerowsecurity FROM pg_class
        WHERE oid = 'public.ledger'::regclass"""
    rights = """SELECT grantee, privilege_type FROM information_schema.role_table_grants
        WHERE table_schema = 'public' AND table_name = 'ledger' ORDER BY 1, 2"""
    indexes = """SELECT regexp_replace(indexdef, '^.* ON ', '') FROM pg_indexes
        WHERE schemaname = 'public' AND tablename = 'ledger' ORDER BY 1"""
    return [await lab.pool.fetch(query) for query in (policies, fences, rights, indexes)]


async def test_without_another_edition_there_is_nothing_to_switch_to(lab: Lab) -> None:
    async with lab.live(5):
        for change in (rebuild(lab).switch, rebuild(lab).roll_back):
            with pytest.raises(NoSuchEdition):
                await change()

    assert await lab.rows() == expected(5)


async def test_tables_in_use_delay_a_switch_and_do_not_break_it(lab: Lab) -> None:
    async with lab.live(10):
        await rebuild(lab).build()
        async with lab.pool.acquire() as connection, connection.transaction():
            await connection.fetch("SELECT FROM ledger")
            switching = asyncio.create_task(rebuild(lab).switch())
            await asyncio.wait([switching], timeout=0.6)
            assert not switching.done()
        await switching
        assert await lab.rows() == expected(10)
