"""Changing a password, and what it ends."""

import pytest

from services.gateway.domain.account import (
    PasswordUnfit,
    WrongPassword,
)
from services.gateway.domain.session import SessionOver
from services.gateway.handlers import account as accounts
from services.gateway.handlers.identity import Identity
from services.gateway.handlers.login import LoginFailed
from services.gateway.handlers.session import refresh
from tests.services.gateway.told import (
    PASSWORD,
    Clock,
    catch_up,
    enter,
    events_of,
    open_account,
    told,
)


async def test_a_new_password_ends_sessions_even_those_no_read_model_knows(
    identity: Identity, clock: Clock
) -> None:
    anna = await open_account(identity)
    known = await enter(identity)
    await catch_up(identity)
    fresh = await enter(identity)
    clock.pass_by(seconds=1)

    await accounts.change_password(identity, anna.account_id, old=PASSWORD, new="battery staple")

    for session in (known, fresh):
        with pytest.raises(SessionOver):
            await refresh(identity, session.refresh_token)
    with pytest.raises(LoginFailed):
        await enter(identity)
    clock.pass_by(seconds=1)
    after = await enter(identity, password="battery staple")
    assert (await refresh(identity, after.refresh_token)).session_id == after.session_id
    revoked = [e.stream for e in await told(identity) if "Revoked" in type(e.event).__name__]
    assert sorted(revoked) == sorted(f"session-{one.session_id}" for one in (known, fresh))


async def test_who_does_not_know_the_password_cannot_change_it(identity: Identity) -> None:
    anna = await open_account(identity)

    with pytest.raises(WrongPassword):
        await accounts.change_password(
            identity, anna.account_id, old="a guess", new="battery staple"
        )
    with pytest.raises(PasswordUnfit):
        await accounts.change_password(identity, anna.account_id, old=PASSWORD, new="short")

    assert await events_of(identity, anna.account_id) == [
        "AccountOpened",
        "PasswordSet",
        "RoleGranted",
    ]
