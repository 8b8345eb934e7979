"""Keys come and go; passwords of scales stay readable, or are said not to be (R17)."""

from datetime import timedelta

from pydantic import SecretStr

from libs.clock import utc_now
from libs.postgres.pool import acquired
from libs.security.sealing import Seal, generate_key
from services.scale_bridge.handlers.secret import Rotated, rotate
from services.scale_bridge.read_models import device
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    SEAL_KEY,
    Inside,
    fetched,
    inside,
    patch,
    registered,
    working,
)


def keys(*given: str) -> SecretStr:
    """As they are set."""
    return SecretStr(",".join(given))


async def rotated(made: Inside, newest: str) -> Rotated:
    """What the command line does."""
    await made.fresh.caught_up("device")
    async with acquired(made.deps.desk.pool) as connection:
        devices = await device.every(connection)
    return await rotate(made.deps.desk, Seal([newest]), devices, actor="command line")


async def test_after_a_rotation_the_old_key_can_be_thrown_away(database: str) -> None:
    """(R17)"""
    newer = generate_key()
    async with a_scale(3) as one, a_scale(3) as other:
        async with inside(database) as made, made.client() as anna:
            numbers = [await registered(anna, scale) for scale in (one, other)]
        async with working(database, seal_keys=keys(newer, SEAL_KEY)) as made:
            async with made.client() as anna:
                await fetched(anna, numbers[0])
            first, again = await rotated(made, newer), await rotated(made, newer)
        async with working(database, seal_keys=keys(newer)) as made, made.client() as anna:
            for number in numbers:
                assert len((await fetched(anna, number))["products"]) == 3

    assert (first.sealed, first.fresh, first.lost) == (2, 0, [])
    assert (again.sealed, again.fresh, again.lost) == (0, 2, [])


async def test_a_password_that_cannot_be_read_is_503_and_the_next_scale_works(
    database: str,
) -> None:
    """(R16, R17)"""
    async with a_scale(3) as one, a_scale(3) as other:
        async with working(database) as made, made.client() as anna:
            lost = await registered(anna, one)
            await fetched(anna, lost)
        async with (
            working(database, seal_keys=keys(generate_key())) as made,
            made.client() as anna,
        ):
            well = await registered(anna, other)
            await fetched(anna, well)
            for asked in (
                await anna.get(f"/devices/{lost}/products"),
                await anna.post(f"/devices/{lost}/upload"),
            ):
                said = asked.json()
                assert (asked.status_code, said["code"]) == (503, "SecretUnreadable")
                assert isinstance(said["detail"], str)
            assert (await patch(anna, lost, 2, price=5)).status_code == 200
            told = await rotated(made, generate_key())
            again = await anna.put(f"/devices/{lost}", json={"password": "1234"})
            assert again.status_code == 200
            await fetched(anna, lost)

    assert len(told.lost) == 1
    assert one.transcript.connections == 2


async def test_no_password_is_in_the_log_of_events_in_clear(database: str) -> None:
    """(R12, R17)"""
    began = utc_now() - timedelta(minutes=1)
    async with a_scale(2, password="q7Zx") as scale, inside(database) as made:
        async with made.client() as anna:
            await registered(anna, scale, password="q7Zx")
        [event] = await made.events()

    assert "q7Zx" not in repr(event)
    assert event.registered_at > began
