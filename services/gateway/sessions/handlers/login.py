"""Login with a password: every failure looks the same and costs the same work."""

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from contracts.gateway import AccountId, GatewayEvent, LoginRefused
from libs.errors import Unauthenticated
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata, VersionConflict
from libs.eventsourcing.store import Fact
from libs.process.fair_queue import Source
from libs.security.passwords import OWN, Verdict
from services.gateway.accounts.domain.account import ACCOUNT, Account
from services.gateway.accounts.domain.commands import SetPassword
from services.gateway.accounts.domain.person import Address, Kind
from services.gateway.accounts.domain.realm import PLATFORM, Workspace
from services.gateway.accounts.handlers.address import digest_of, owner_in
from services.gateway.accounts.handlers.identity import (
    NO_ACCOUNT,
    Identity,
    Loaded,
    load,
    open_password,
    seal_password,
)
from services.gateway.sessions.handlers.attempts import Attempts
from services.gateway.sessions.handlers.session import LoggedIn, NotAdmitted, admit

NO_ADDRESS: Final = Address(Kind.EMAIL, "")
"""Stands for a text that is no address. No account has it."""
REFUSALS: Final = UUID("5b0b7f3e-1d5e-5c52-9a70-3f2f6a0c8e19")
"""The namespace of the ids of recorded refusals."""
UNKNOWN_DIGITS: Final = 3
"""Digits of an unknown address's digest in the id of a refusal: at most 16³ refusals a minute are
recorded, however many addresses are tried."""


class LoginFailed(Unauthenticated):
    """The login or the password is wrong."""


async def log_in(
    identity: Identity,
    *,
    realm: str,
    tenant: str,
    address: Address | None,
    password: str,
    device: str,
    attempts: Attempts | None,
    roles: Collection[str] | None = None,
) -> LoggedIn:
    """Log in by password to the workspace of `realm` and `tenant`.

    `address` is None if it is malformed. `roles` may log in here; None allows all. Without
    `attempts` there is no limit. Raises LoginFailed for every reason, after the same work;
    TooManyRequests, Unavailable.
    """
    now = identity.clock()
    workspace, written = Workspace(realm, tenant), address or NO_ADDRESS
    digest = digest_of(identity.seal, written)
    owner = await owner_in(identity, written, workspace)
    # Attempts are counted for the account, however its address is spelled.
    attempted = str(owner or digest)
    source = await attempts.begin(attempted) if attempts else OWN
    loaded = await load(identity, owner or NO_ACCOUNT)
    verdict = await _verify(identity, loaded, password, source)
    reason = _refusal(loaded.account, workspace, roles, verdict)
    if reason is not None:
        await record_refusal(identity, realm, owner, digest, reason, now)
        if attempts:
            await attempts.failed()
        raise LoginFailed
    if attempts:
        await attempts.succeeded(attempted)
    if verdict.outdated:
        await _renew(identity, loaded, password, source)
    try:
        return await admit(identity, loaded, workspace, device, now)
    except NotAdmitted:
        raise LoginFailed from None


async def _verify(identity: Identity, loaded: Loaded, password: str, source: Source) -> Verdict:
    sealed = loaded.account.password
    if sealed is None or not loaded.account.known:
        return await identity.passwords.verify_dummy(password, source=source)
    hashed = open_password(identity.seal, loaded.account_id, sealed)
    return await identity.passwords.verify(hashed, password, source=source)


def _refusal(
    account: Account, workspace: Workspace, roles: Collection[str] | None, verdict: Verdict
) -> str | None:
    """The reason to refuse the login, for the record only; None to accept it."""
    if not account.known:
        return "unknown"
    if not verdict.right:
        return "password"
    if not account.active:
        return "deactivated"
    role = account.roles.get(workspace)
    return None if role is not None and (roles is None or role in roles) else "role"


async def record_refusal(
    identity: Identity,
    realm: str,
    account_id: AccountId | None,
    digest: str,
    reason: str,
    now: datetime,
) -> None:
    """Record a refused login, once a minute per address. `account_id` is None if unknown."""
    subject = digest if account_id else digest[:UNKNOWN_DIGITS]
    refused = LoginRefused(
        realm=realm, account_id=account_id, digest=digest, reason=reason, refused_at=now
    )
    fact: Fact[GatewayEvent] = Fact(
        event_id=uuid5(REFUSALS, f"{realm} {subject} {now:%Y-%m-%dT%H:%M}"),
        stream=f"access-{realm}",
        event=refused,
        occurred_at=now,
    )
    await identity.store.record([fact], metadata=Metadata(tenant=PLATFORM))


async def _renew(identity: Identity, loaded: Loaded, password: str, source: Source) -> None:
    """Hash the same password at the present cost. A concurrent change of the password wins."""
    account, account_id = loaded.account, loaded.account_id
    if account.password_at is None:
        return
    hashed = await identity.passwords.hash(password, source=source)
    sealed = seal_password(identity.seal, account_id, hashed)
    command = SetPassword(account_id=account_id, password=sealed, set_at=account.password_at)
    metadata = Metadata(tenant=PLATFORM, actor=str(account_id))
    try:
        await execute(
            identity.store, ACCOUNT, account_id, command, metadata=metadata, expected=loaded.version
        )
    except VersionConflict:
        return
