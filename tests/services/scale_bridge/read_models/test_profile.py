"""What scales are, and whose verification is due: in the rows of scales, beside all else."""

from datetime import date, timedelta

from contracts.scale_bridge import DeviceProfiled, VerificationDue
from libs.postgres.pool import Pool
from services.scale_bridge.read_models import board, profile
from tests.services.scale_bridge.twin import NOON, OWNER, Told, device_id, project

DUE = date(2026, 6, 1)


def profiled(tell: Told, *, of: int = 1, shop: str = "A", due: date | None = DUE) -> None:
    tell(
        DeviceProfiled(
            device_id=device_id(of),
            shop=shop,
            group="cheese",
            price_list="",
            model="",
            serial_number="",
            next_verification=due,
            profiled_by="anna",
            profiled_at=NOON,
        )
    )


def reminded(tell: Told, days: int, *, of: int = 1, due: date = DUE) -> None:
    tell(VerificationDue(device_id=device_id(of), due_on=due, days=days, announced_at=NOON))


async def due(pool: Pool, left: int, *, limit: int = 9) -> list[int]:
    """The numbers of scales to be reminded of, so many days before."""
    async with pool.acquire() as connection:
        found = await profile.due(connection, DUE - timedelta(days=left), limit=limit)
    numbers = {device_id(number): number for number in range(1, 9)}
    return [numbers[one.device_id] for one in found]


async def test_the_board_says_where_a_scale_stands(pool: Pool) -> None:
    tell = Told()
    tell.registered()
    await project(pool, tell.events)
    async with pool.acquire() as connection:
        (row,) = await board.rows(connection, "demo", owner=OWNER)
        assert (row.shop, row.group, row.next_verification) == ("", "", None)

        profiled(tell)
        profiled(tell, shop="B")
        await project(pool, tell.events)
        (row,) = await board.rows(connection, "demo", owner=OWNER)
        assert (row.shop, row.group, row.next_verification) == ("B", "cheese", DUE)


async def test_who_is_due_and_was_not_reminded_is_found(pool: Pool) -> None:
    tell = Told()
    for number in (1, 2, 3, 4):
        tell.registered(number)
        profiled(tell, of=number, due=DUE if number < 4 else None)
    reminded(tell, 30, of=2)
    reminded(tell, 0, of=3)
    await project(pool, tell.events)

    assert await due(pool, 31) == []
    assert sorted(await due(pool, 30)) == sorted(await due(pool, 8)) == [1]
    assert sorted(await due(pool, 7)) == sorted(await due(pool, -50)) == [1, 2]
    assert len(await due(pool, 0, limit=1)) == 1


async def test_with_another_day_or_without_a_scale_it_is_otherwise(pool: Pool) -> None:
    tell = Told()
    for number in (1, 2):
        tell.registered(number)
        profiled(tell, of=number)
        reminded(tell, 0, of=number)
    profiled(tell, due=DUE + timedelta(days=3))
    tell.removed(2)
    await project(pool, tell.events)

    assert await due(pool, 28) == []
    assert await due(pool, 27) == await due(pool, -4) == [1]


async def test_a_profile_that_comes_before_its_scale_waits_for_it(pool: Pool) -> None:
    tell = Told()
    profiled(tell)
    await project(pool, tell.events)
    assert await due(pool, 0) == []
    tell.registered()
    await project(pool, tell.events)

    assert await due(pool, 0) == [1]
