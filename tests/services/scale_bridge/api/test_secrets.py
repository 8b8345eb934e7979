"""Keys come and go; passwords of scales stay readable, or are said not to be (R17)."""

from dataclasses import replace

from pydantic import SecretStr

from libs.postgres.pool import acquired
from libs.security.sealing import Seal, generate_key
from services.scale_bridge.handlers.secret import Rotated, rotate
from services.scale_bridge.read_models import device as device_model
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.service import (
    PASSWORD,
    SEAL_KEY,
    Service,
    a_device,
    open_service,
    open_working,
)


def keys(*given: str) -> SecretStr:
    """As they are set."""
    return SecretStr(",".join(given))


async def rotated(service: Service, newest: str) -> Rotated:
    """What the command line does."""
    await service.caught_up()
    async with acquired(service.deps.desk.pool) as connection:
        every = await device_model.every(connection)
    return await rotate(service.deps.desk, Seal([newest]), every, actor="command line")


async def test_after_a_rotation_the_old_key_can_be_thrown_away(database: str) -> None:
    """(R12, R17)"""
    secret, newer = "q7Zx", generate_key()
    async with a_scale(3, password=secret) as one, a_scale(3, password=secret) as two:
        async with open_service(database) as service, service.client() as anna:
            devices = [
                await a_device(service, anna, scale, read=False, password=secret)
                for scale in (one, two)
            ]
            assert secret not in repr(await service.events())
        both, new = keys(newer, SEAL_KEY), keys(newer)
        async with open_working(database, seal_keys=both) as service, service.client() as anna:
            await replace(devices[0], service=service, owner=anna).fetch()
            first, again = await rotated(service, newer), await rotated(service, newer)
        async with open_working(database, seal_keys=new) as service, service.client() as anna:
            for device in devices:
                await replace(device, service=service, owner=anna).fetch()

    assert (first.sealed, first.fresh, first.lost) == (2, 0, [])
    assert (again.sealed, again.fresh, again.lost) == (0, 2, [])


async def test_a_password_that_cannot_be_read_is_503_and_the_next_scale_works(
    database: str,
) -> None:
    """(R16, R17)"""
    other = keys(generate_key())
    async with a_scale(3) as one, a_scale(3) as two:
        async with open_working(database) as service, service.client() as anna:
            device = await a_device(service, anna, one)
        async with open_working(database, seal_keys=other) as service, service.client() as anna:
            await a_device(service, anna, two)
            lost = replace(device, service=service, owner=anna)
            for answer in (await lost.get("/products"), await lost.post("/upload")):
                assert (answer.status_code, answer.json()["code"]) == (503, "SecretUnreadable")
                assert isinstance(answer.json()["detail"], str)
            await lost.set_price(2, 5)
            assert len((await rotated(service, generate_key())).lost) == 1
            assert (await lost.put(password=PASSWORD)).status_code == 200
            await lost.fetch()

    assert one.transcript.connections == 2
