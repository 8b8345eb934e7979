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
from services.gateway.accounts.domain.realm import PLATFORM, Place
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
"""Nobody's: what stands for a text that is no address."""
REFUSALS: Final = UUID("5b0b7f3e-1d5e-5c52-9a70-3f2f6a0c8e19")
"""The namespace of the ids of refusals."""
UNKNOWN_DIGITS: Final = 3
"""Of the digests of unknown addresses so many digits are told apart within a minute, so that
whoever tries endless addresses fills the log no faster than this allows."""


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
    """Let somebody in by password, where they have a role in `tenant`.

    `address` is None for what is no address. `roles` are those that may log in here, all if None.
    Without `attempts` any number is allowed. Raises LoginFailed, whatever the reason, after the
    same work; TooManyRequests, Unavailable.
    """
    now = identity.clock()
    written = address or NO_ADDRESS
    digest = digest_of(identity.seal, written)
    owner = await owner_in(identity, written, Place(realm, tenant))
    # The account counts, not the spelling of its address.
    tried = str(owner or digest)
    source = await attempts.begin(tried) if attempts else OWN
    loaded = await load(identity, owner or NO_ACCOUNT)
    verdict = await _verify(identity, loaded, password, source)
    place = _admitting_place(loaded.account, Place(realm, tenant), roles)
    reason = _refusal(loaded.account, place, verdict)
    if reason is not None or place is None:
        await record_refusal(identity, realm, owner, digest, reason or "role", now)
        if attempts:
            await attempts.failed()
        raise LoginFailed
    if attempts:
        await attempts.succeeded(tried)
    if verdict.outdated:
        await _renew(identity, loaded, password, source)
    try:
        return await admit(identity, loaded, place, device, now)
    except NotAdmitted:
        raise LoginFailed from None


async def _verify(identity: Identity, loaded: Loaded, password: str, source: Source) -> Verdict:
    sealed = loaded.account.password
    if sealed is None or not loaded.account.known:
        return await identity.passwords.verify_dummy(password, source=source)
    hashed = open_password(identity.seal, loaded.account_id, sealed)
    return await identity.passwords.verify(hashed, password, source=source)


def _admitting_place(account: Account, place: Place, roles: Collection[str] | None) -> Place | None:
    role = account.roles.get(place)
    return place if role is not None and (roles is None or role in roles) else None


def _refusal(account: Account, place: Place | None, verdict: Verdict) -> str | None:
    """Why not, for the record; the caller only hears that it was not."""
    if not account.known:
        return "unknown"
    if not verdict.right:
        return "password"
    if not account.active:
        return "deactivated"
    return "role" if place is None else None


async def record_refusal(
    identity: Identity,
    realm: str,
    account_id: AccountId | None,
    digest: str,
    reason: str,
    now: datetime,
) -> None:
    """Tell it, at most once a minute for an address. `account_id` is None if it is nobody's."""
    whose = digest if account_id else digest[:UNKNOWN_DIGITS]
    refused = LoginRefused(
        realm=realm, account_id=account_id, digest=digest, reason=reason, refused_at=now
    )
    fact: Fact[GatewayEvent] = Fact(
        event_id=uuid5(REFUSALS, f"{realm} {whose} {now:%Y-%m-%dT%H:%M}"),
        stream=f"access-{realm}",
        event=refused,
        occurred_at=now,
    )
    await identity.store.record([fact], metadata=Metadata(tenant=PLATFORM))


async def _renew(identity: Identity, loaded: Loaded, password: str, source: Source) -> None:
    """Hash the same password at today's cost. Somebody who changes it meanwhile wins."""
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
