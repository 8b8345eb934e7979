"""Switching between editions of a read model and back: nobody who reads notices."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from libs.messaging.editions import NoSuchEdition
from tests.libs.messaging.lab import Cursed, Lab, Ledger, Numbered, eventually, running
from tests.libs.messaging.rebuilding import (
    Tenfold,
    append,
    expected,
    parked,
    reading,
    rebuild,
)


async def test_reads_never_fail_and_never_go_back_while_editions_change(lab: Lab) -> None:
    await append(lab, range(50))
    async with running(lab.relay(), lab.projector()):
        await eventually(lab.rows, expected(50))
        async with reading(lab) as counted:
            for _ in range(3):
                await rebuild(lab).build()
                await rebuild(lab).switch()

    assert sum(map(len, counted)) > 20
    assert {*counted[0], *counted[1]} == {50}


async def test_a_rewritten_projection_differs_is_switched_to_and_back(lab: Lab) -> None:
    await append(lab, range(20))
    tenfold = {
        stream: [(n + 100) * 10 for n in numbers] for stream, numbers in expected(20).items()
    }
    async with running(lab.relay()):
        async with running(lab.projector()):
            await eventually(lab.rows, expected(20))
            (diff,) = await rebuild(lab, Tenfold()).build()
            assert (diff.only_live, diff.only_next) == (5, 5)
            assert await lab.rows() == expected(20)
            await rebuild(lab, Tenfold()).switch()
            assert await lab.rows() == tenfold
        await append(lab, range(20, 40))
        async with running(lab.projector()):
            await rebuild(lab).roll_back()
            await eventually(lab.rows, expected(40))


async def test_a_roll_back_catches_up_although_nothing_new_is_appended(lab: Lab) -> None:
    await append(lab, range(20))
    async with running(lab.relay(), lab.projector()):
        await eventually(lab.rows, expected(20))
        await rebuild(lab).build()
        await rebuild(lab).switch()
        await append(lab, range(20, 60))
        await eventually(lab.rows, expected(60))
        await rebuild(lab).roll_back()
        await eventually(lab.rows, expected(60))
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
        await rebuild(lab, uncursed).build()
        await rebuild(lab, uncursed).switch()
        assert await parked(lab) == []
        assert await lab.rows() == {"order-1": [1, 2, 3]}

        lab.ledger.cursed = True
        await rebuild(lab).roll_back()
        assert await parked(lab) == [("order-1", 3)]
        await lab.append("order-1", Numbered(4))
        await eventually(lambda: parked(lab), [("order-1", 4)])
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
    await append(lab, range(10))
    async with running(lab.relay(), lab.projector()):
        await eventually(lab.rows, expected(10))
        await rebuild(lab, role=role).build()
        await rebuild(lab, role=role).switch()

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
    await append(lab, range(5))
    async with running(lab.relay(), lab.projector()):
        await eventually(lab.rows, expected(5))
        with pytest.raises(NoSuchEdition):
            await rebuild(lab).switch()
        with pytest.raises(NoSuchEdition):
            await rebuild(lab).roll_back()

    assert await lab.rows() == expected(5)


async def test_tables_in_use_delay_a_switch_and_do_not_break_it(lab: Lab) -> None:
    await append(lab, range(10))
    async with running(lab.relay(), lab.projector()):
        await eventually(lab.rows, expected(10))
        await rebuild(lab).build()
        async with lab.pool.acquire() as connection, connection.transaction():
            await connection.fetch("SELECT FROM ledger")
            switching = asyncio.create_task(rebuild(lab).switch())
            await asyncio.wait([switching], timeout=0.6)
            assert not switching.done()
        await asyncio.wait_for(switching, 20)
        assert await lab.rows() == expected(10)
