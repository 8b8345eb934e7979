"""Requesting a device grant, and polling for its answer (RFC 8628)."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid5

import msgspec

from contracts.gateway import AccountId, GatewayEvent, LoginRefused
from libs.errors import RateLimit, TooManyRequests, Unavailable
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.store import Fact, new_event_id
from libs.postgres import attempts
from libs.postgres.pool import acquire
from services.gateway.accounts.domain.device_client import CLIENTS, DeviceClient
from services.gateway.accounts.domain.realm import PLATFORM
from services.gateway.accounts.handlers.identity import Identity
from services.gateway.device_grants import stores as device_grants
from services.gateway.device_grants.domain.grant import (
    LIFETIME,
    PAUSE_SECONDS,
    Grant,
    GrantRefused,
    GrantStatus,
    Verdict,
    new_user_code,
    tidy_label,
)
from services.gateway.doors.domain.network import network_of
from services.gateway.sessions.handlers.session import LoggedIn, NotAdmitted, open_session

BROWSER_LIMIT: Final = RateLimit(name="device-code", quota=10, window_seconds=60)
"""Wrong user codes in one browser: others behind its address are not affected."""
LIMIT: Final = RateLimit(name="device-code", quota=60, window_seconds=60)
"""Wrong user codes in one network. With ten waiting devices, a day of attempts finds one with a
probability of 3 in 100,000."""
WRONG: Final = "device code by network"
WRONG_OF_BROWSER: Final = "device code by browser"
ATTEMPTS: Final = 5
REFUSALS: Final = UUID("a2c7b1f0-6d0c-5f6e-8b57-1f2b9f0c7d33")
"""The namespace of the ids of recorded refusals."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceInfo:
    """The name and program that a device reports, and the network address it asks from."""

    label: str
    address: str
    agent: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GrantCodes:
    """The codes of a new grant: the device keeps `device_code` and displays `user_code`.

    `pause` is the interval of polls in seconds.
    """

    device_code: str
    user_code: str
    lifetime: timedelta
    pause: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingDevice:
    """A device that waits for approval."""

    grant: Grant
    client: DeviceClient
    info: DeviceInfo

    @property
    def name(self) -> str:
        """The name of the device in lists of accounts and sessions."""
        return f"{self.client.title}: {self.info.label}" if self.info.label else self.client.title


async def request_codes(identity: Identity, client: DeviceClient, info: DeviceInfo) -> GrantCodes:
    """Start a grant; the codes of the device. Raises Unavailable."""
    now, device_code = identity.clock(), secrets.token_urlsafe(32)
    device_digest = identity.seal.digest("device code", device_code)
    tidied = DeviceInfo(
        label=tidy_label(info.label), address=info.address, agent=tidy_label(info.agent)
    )
    encoded = msgspec.json.encode(tidied).decode()
    for _ in range(ATTEMPTS):
        user_code = new_user_code(secrets.choice)
        grant = Grant(
            device_digest=device_digest,
            user_code_digest=identity.seal.digest("user code", user_code),
            client_id=client.client_id,
            account_id=AccountId(new_event_id()),
            sealed=identity.seal.seal(encoded, _context(device_digest)),
            status=GrantStatus.WAITING,
            tenant=None,
            pause=PAUSE_SECONDS,
            polled_at=None,
            expires_at=now + LIFETIME,
        )
        if await device_grants.add(identity.pool, grant, now):
            return GrantCodes(
                device_code=device_code, user_code=user_code, lifetime=LIFETIME, pause=PAUSE_SECONDS
            )
    raise Unavailable("device codes")


async def find_by_user_code(
    identity: Identity, user_code: str | None, *, address: str, browser: str
) -> PendingDevice | None:
    """The waiting device with this user code; None if there is none (any more).

    A wrong code counts as an attempt of the network address and of the `browser`, a random text.
    Raises TooManyRequests, Unavailable.
    """
    now, network = identity.clock(), network_of(address)
    network_digest = identity.seal.digest("network address", network)
    browser_digest = identity.seal.digest("browser", f"{network} {browser}")
    counters = (WRONG_OF_BROWSER, browser_digest, BROWSER_LIMIT), (WRONG, network_digest, LIMIT)
    async with acquire(identity.pool) as connection:
        over = await attempts.take(connection, counters, now)
    if over is not None:
        raise TooManyRequests(retry_after_seconds=over.retry_after, limit=over.limit)
    user_code_digest = identity.seal.digest("user code", user_code or "")
    grant = await device_grants.find_waiting(identity.pool, user_code_digest, now)
    if grant is None or user_code is None:
        await _record_wrong(identity, network_digest)
        return None
    async with acquire(identity.pool) as connection:
        await attempts.give_back(connection, counters)
    return pending_device_of(identity, grant)


async def redeem(identity: Identity, device_code: str, client: DeviceClient) -> LoggedIn:
    """Log in an approved device, once. Raises GrantRefused with the verdict, Unavailable."""
    device_digest = identity.seal.digest("device code", device_code)
    now = identity.clock()
    verdict, grant = await device_grants.poll(identity.pool, device_digest, client.client_id, now)
    if verdict is not Verdict.IN or grant is None or grant.tenant is None:
        raise GrantRefused(verdict)
    name, workspace = pending_device_of(identity, grant).name, client.workspace(grant.tenant)
    try:
        return await open_session(identity, grant.account_id, workspace, device=name)
    except NotAdmitted:
        # The device's account was removed or deactivated before it polled.
        raise GrantRefused(Verdict.DENIED) from None
    except Unavailable:
        approved = GrantStatus.APPROVED
        await device_grants.set_status(identity.pool, device_digest, approved, grant.tenant)
        raise


def pending_device_of(identity: Identity, grant: Grant) -> PendingDevice:
    """The device of a grant, its information unsealed. Raises SealBroken."""
    encoded = identity.seal.open(grant.sealed, _context(grant.device_digest))
    info = msgspec.json.decode(encoded, type=DeviceInfo)
    return PendingDevice(grant=grant, client=CLIENTS[grant.client_id], info=info)


def _context(device_digest: str) -> str:
    return f"device grant {device_digest}"


async def _record_wrong(identity: Identity, network_digest: str) -> None:
    """Record a wrong user code, once a minute per network."""
    now = identity.clock()
    refused = LoginRefused(
        realm=PLATFORM, account_id=None, digest=network_digest, reason="user code", refused_at=now
    )
    fact: Fact[GatewayEvent] = Fact(
        event_id=uuid5(REFUSALS, f"{network_digest} {now:%Y-%m-%dT%H:%M}"),
        stream=f"access-{PLATFORM}",
        event=refused,
        occurred_at=now,
    )
    await identity.store.record([fact], metadata=Metadata(tenant=PLATFORM))
