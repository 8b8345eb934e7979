"""The gateway announces the owner of an agent, which reaches only the owner's scales."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from contracts.envelope import Envelope
from contracts.gateway import AccountId, DeviceEnrolled, DeviceRefused
from libs.security.sealed_box import generate_private, public_of
from services.scale_bridge.bridges.reactions import enrolments
from services.scale_bridge.bridges.stores import bridges
from tests.services.scale_bridge.remote import open_remote
from tests.services.scale_bridge.usual import Usual

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
made = Usual(NOON, realm="scales", client="tillstream-bridge", version=None)


def enrolled(tenant: str = "birch", **different: Any) -> DeviceEnrolled:
    ids = {"account_id": AccountId(uuid4()), "enrolled_by": AccountId(uuid4())}
    return made(DeviceEnrolled, tenant=tenant, **ids, **different)


def an_envelope(event: DeviceEnrolled) -> Envelope[Any]:
    return made(Envelope, event_id=uuid4(), tenant=event.tenant, event=event)


async def test_the_enrolling_account_owns_the_agent_in_any_order_of_events(
    database: str, tmp_path: Path
) -> None:
    key = public_of(generate_private())
    async with open_remote(database, tmp_path) as remote:
        pool, react = remote.context.system, enrolments().react_in_transaction
        assert react is not None
        early, late = enrolled(), enrolled(tenant="flora")
        for _ in range(2):
            await react(pool, an_envelope(early))
        for event, name in ((early, "early"), (late, "late")):
            assert await bridges.register_key(
                pool, event.tenant, UUID(str(event.account_id)), name, key
            )
        assert await bridges.owner_of(pool, "flora", late.account_id) is None
        await react(pool, an_envelope(late))

        for event, name in ((early, "early"), (late, "late")):
            [found] = await bridges.list_owned(pool, event.tenant, event.enrolled_by)
            assert (found.bridge_id, found.name) == (event.account_id, name)
            assert not found.connected


def test_other_enrolments_are_ignored() -> None:
    reaction, bridge = enrolments(), enrolled()
    schedule = reaction.schedule_of(bridge)
    assert schedule is not None
    assert schedule.run_at == NOON
    assert reaction.schedule_of(enrolled(client="tillstream-kiosk")) is None
    refused = made(DeviceRefused, account_id=bridge.account_id)
    assert reaction.schedule_of(refused) is None
