"""Changing one's own password, with a limit on wrong attempts."""

from typing import Final
from uuid import UUID, uuid5

from contracts.gateway import AccountId, GatewayEvent, LoginRefused
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.store import Fact
from services.gateway.accounts.domain.account import WrongPassword
from services.gateway.accounts.domain.realm import PLATFORM
from services.gateway.accounts.handlers.identity import Identity
from services.gateway.administration.handlers.account import change_password
from services.gateway.sessions.handlers.management import session_of
from services.gateway.sessions.handlers.session import revoke

REFUSALS: Final = UUID("7f0c0a52-5a0e-5a41-9a8b-0b5c6d2f4e11")
"""The namespace of the ids of recorded refusals."""


async def change_own_password(
    identity: Identity, account_id: AccountId, *, realm: str, session: str, old: str, new: str
) -> None:
    """Change the password of the caller; all sessions end, the present one included.

    Raises WrongPassword, recorded as `LoginRefused` once a minute at most; PasswordUnfit,
    AccountUnknown, Unavailable.
    """
    try:
        await change_password(identity, account_id, old=old, new=new)
    except WrongPassword:
        await _record(identity, account_id, realm)
        raise
    if (present := session_of(session)) is not None:
        await revoke(identity, present, reason="password", actor=str(account_id))


async def _record(identity: Identity, account_id: AccountId, realm: str) -> None:
    now = identity.clock()
    refused = LoginRefused(
        realm=realm,
        account_id=account_id,
        digest=identity.seal.digest("account", str(account_id)),
        reason="old password",
        refused_at=now,
    )
    fact: Fact[GatewayEvent] = Fact(
        event_id=uuid5(REFUSALS, f"{account_id} {now:%Y-%m-%dT%H:%M}"),
        stream=f"access-{realm}",
        event=refused,
        occurred_at=now,
    )
    await identity.store.record([fact], metadata=Metadata(tenant=PLATFORM, actor=str(account_id)))
