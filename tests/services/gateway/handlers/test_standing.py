"""Who may still act: what ended is over at once, whoever has heard of it."""

import pytest

from services.gateway.domain.realm import Place, Role
from services.gateway.domain.session import SessionOver
from services.gateway.handlers import account as accounts
from services.gateway.handlers import administration
from services.gateway.handlers.identity import Identity
from services.gateway.handlers.session import LoggedIn, log_out
from services.gateway.handlers.standing import device_of, role_now
from tests.services.gateway.told import (
    CRM,
    KIOSK,
    LIFETIME,
    Clock,
    enter,
    open_account,
)


async def asked(identity: Identity, who: LoggedIn, place: Place = CRM) -> str:
    return await role_now(identity, who.account.account_id, who.session_id, place)


async def test_whoever_is_in_acts_in_their_role_and_on_their_device(identity: Identity) -> None:
    await open_account(identity)
    anna = await enter(identity)

    assert await asked(identity, anna) == "ENGINEER"
    assert await device_of(identity, anna.session_id) == "phone"


@pytest.mark.parametrize("end", ["logout", "time", "password", "deactivated", "removed", "role"])
async def test_whatever_ends_a_session_does_so_before_any_read_model_knows(
    identity: Identity, clock: Clock, end: str
) -> None:
    await open_account(identity)
    anna = await enter(identity)
    account_id = anna.account.account_id
    clock.pass_by(seconds=1)

    # No projector runs here: nothing revokes the session but its own end.
    match end:
        case "logout":
            await log_out(identity, anna.refresh_token)
        case "time":
            clock.now += LIFETIME
        case "password":
            await accounts.reset_password(identity, account_id, new="battery staple", actor="x")
        case "deactivated":
            await administration.deactivate(identity, account_id, reason="", actor="x")
            await administration.activate(identity, account_id, actor="x")
        case "removed":
            await administration.remove(identity, account_id, actor="x")
        case "role":
            await administration.withdraw_role(identity, account_id, CRM, actor="x")
        case _:
            raise AssertionError(end)

    with pytest.raises(SessionOver):
        await asked(identity, anna)


async def test_a_role_given_meanwhile_counts(identity: Identity) -> None:
    await open_account(identity)
    anna = await enter(identity)

    await administration.grant_role(
        identity, anna.account.account_id, Role(CRM, "SUPERVISOR"), actor="x"
    )

    assert await asked(identity, anna) == "SUPERVISOR"


async def test_a_session_is_good_for_its_own_account_in_its_own_place(identity: Identity) -> None:
    await open_account(identity)
    boris = await open_account(identity, "boris@example.com")
    anna = await enter(identity)

    for place in (KIOSK, Place("crm", "other")):
        with pytest.raises(SessionOver):
            await asked(identity, anna, place)
    with pytest.raises(SessionOver):
        await role_now(identity, boris.account_id, anna.session_id, CRM)
