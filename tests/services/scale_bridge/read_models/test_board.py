"""The board: every scale by name, its word and its reason (SCL-12, SCL-16)."""

from dataclasses import replace

from libs.postgres.pool import Pool
from services.scale_bridge.domain.shown import shown_by_plu
from services.scale_bridge.domain.standing import State, standing
from services.scale_bridge.read_models import board
from services.scale_bridge.read_models.board import Row
from services.scale_bridge.read_models.drift import counts
from tests.services.scale_bridge.twin import (
    OWNER,
    Told,
    catalogue,
    device_id,
    minute,
    product,
    project,
    store_content,
)

BASE = catalogue(product(1), product(2))


async def rows(pool: Pool, tenant: str = "demo") -> list[Row]:
    async with pool.acquire() as connection:
        found = await board.rows(connection, tenant, owner=OWNER)
        pending = await counts(connection, tenant, [r.device_id for r in found if r.facts.valid])
    return [
        replace(row, facts=replace(row.facts, pending=pending.get(row.device_id, 0)))
        for row in found
    ]


async def only(pool: Pool) -> Row:
    (row,) = await rows(pool)
    return row


async def synced(pool: Pool, *, of: int = 1, name: str = "Сыр") -> Told:
    """A scale that was fetched and shows what it shall."""
    tell = Told()
    tell.registered(of, name)
    tell.fetched(1, await store_content(pool, BASE), of=of)
    tell.done(100 + of, "fetch", "done", at=0, of=of)
    shown = {plu: dict(fields) for plu, fields in shown_by_plu(BASE).items()}
    tell.shown(0, shown, of=of, by=100 + of)
    return tell


async def test_a_new_scale_is_unknown(pool: Pool) -> None:
    tell = Told()
    tell.registered()
    await project(pool, tell.events)

    row = await only(pool)

    assert (row.number, row.name, standing(row.facts).state) == (1, "Сыр", State.UNKNOWN)


async def test_a_scale_that_shows_all_is_ok_and_was_heard(pool: Pool) -> None:
    await project(pool, (await synced(pool)).events)

    row = await only(pool)

    assert standing(row.facts).state is State.OK
    assert row.facts.heard_at == minute(0)
    assert (row.facts.revision, row.facts.confirmed, row.facts.pending) == (1, 1, 0)


async def test_an_edit_makes_it_dirty_and_is_counted(pool: Pool) -> None:
    tell = await synced(pool)
    tell.edited(2, 1, price=1.5)
    await project(pool, tell.events)

    row = await only(pool)

    assert standing(row.facts).state is State.DIRTY
    assert (row.facts.revision, row.facts.confirmed, row.facts.pending) == (2, 1, 1)


async def test_the_dead_one_is_named_with_its_reason(pool: Pool) -> None:
    """Heard of last when an exchange was completed, not when one was tried (SCL-12)."""
    tell = await synced(pool)
    tell.done(2, "upload", "failed", "Timeout", at=5, detail="Весы не ответили вовремя.")
    tell.done(3, "upload", "failed", "CircuitOpen", at=6, detail="Позже.")
    await project(pool, tell.events)

    row = await only(pool)
    found = standing(row.facts)

    assert (found.state, found.reason) == (State.UNREACHABLE, "Весы не ответили вовремя.")
    assert row.facts.heard_at == minute(0)


async def test_the_liar_is_named_until_it_shows_what_it_shall(pool: Pool) -> None:
    """It confirmed an upload, and a read-back showed something else."""
    tell = await synced(pool)
    tell.edited(2, 1, price=1.5)
    tell.queued(2, at=5)
    tell.applied(2, at=5)
    tell.doubted(2, by=2)
    tell.ended(2, "upload", "failed", "NotShown", at=5)
    tell.done(3, "probe", "done", at=6)
    await project(pool, tell.events)

    row = await only(pool)
    assert standing(row.facts).state is State.LYING
    assert "товаров: 1" in standing(row.facts).reason

    tell.events.clear()
    tell.done(4, "upload", "verified", at=9)
    tell.confirmed(2)
    tell.shown(9, {"1": dict(shown_by_plu(catalogue(product(1, 1.5)))["1"])}, by=4)
    await project(pool, tell.events)
    assert standing((await only(pool)).facts).state is State.OK


async def test_who_forgot_without_power_is_dirty_and_no_liar(pool: Pool) -> None:
    tell = await synced(pool)
    tell.done(2, "verify", "failed", "NotShown", at=5, detail="Весы показывают не то.")
    tell.doubted(1, by=2)
    await project(pool, tell.events)

    found = standing((await only(pool)).facts)
    assert (found.state, "показывают не то" in found.reason) == (State.DIRTY, True)


async def test_a_wrong_password_is_said(pool: Pool) -> None:
    tell = await synced(pool)
    tell.done(2, "upload", "failed", "WrongPassword", at=5)
    await project(pool, tell.events)

    assert standing((await only(pool)).facts).state is State.WRONG_PASSWORD


async def test_at_another_address_it_is_unknown_until_it_is_read(pool: Pool) -> None:
    tell = await synced(pool)
    tell.invalidated(2, at=5)
    await project(pool, tell.events)

    row = await only(pool)
    assert (standing(row.facts).state, row.facts.pending) == (State.UNKNOWN, 0)


async def test_each_owner_sees_their_own_by_number(pool: Pool) -> None:
    for of, name in ((2, "Б"), (1, "А")):
        await project(pool, (await synced(pool, of=of, name=name)).events)
    tell = Told()
    tell.registered(3)
    tell.removed(3)
    await project(pool, tell.events)

    assert [(row.number, row.name, row.device_id) for row in await rows(pool)] == [
        (1, "А", device_id(1)),
        (2, "Б", device_id(2)),
    ]
    assert await rows(pool, "other") == []
