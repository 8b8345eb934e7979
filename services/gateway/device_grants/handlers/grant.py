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
from services.gateway.accounts.domain.device_client import CLIENTS, DeviceClient
from services.gateway.accounts.domain.realm import PLATFORM
from services.gateway.accounts.handlers.identity import Identity
from services.gateway.device_grants import stores as device_grants
from services.gateway.device_grants.domain.grant import (
    LIFETIME,
    PAUSE_SECONDS,
    Answer,
    Grant,
    GrantRefused,
    Verdict,
    new_user_code,
    tidy_label,
)
from services.gateway.doors.domain.network import network_of
from services.gateway.sessions.handlers.session import LoggedIn, NotAdmitted, open_session
from services.gateway.sessions.stores import attempt_limit

MOST_WRONG: Final = 10
"""Of one browser, so that others behind the same address are not kept from theirs."""
MOST_WRONG_OF_NETWORK: Final = 60
"""Of all browsers there. Where ten devices wait, a day of such tries finds one with a chance of
3 in 100,000."""
WRONG_WINDOW: Final = timedelta(minutes=1)
WRONG: Final = "device code by network"
WRONG_OF_BROWSER: Final = "device code by browser"
ATTEMPTS: Final = 5
REFUSALS: Final = UUID("a2c7b1f0-6d0c-5f6e-8b57-1f2b9f0c7d33")
"""The namespace of the ids of refused codes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What a device says of itself, and where it asks from."""

    label: str
    address: str
    agent: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Codes:
    """The secrets of a new grant: `device_code` for the device, `user_code` for it to show."""

    device_code: str
    user_code: str
    lifetime: timedelta
    pause: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A device that waits for an answer."""

    grant: Grant
    client: DeviceClient
    about: About

    @property
    def name(self) -> str:
        """What people recognise it by, in lists of accounts and sessions."""
        return f"{self.client.title}: {self.about.label}" if self.about.label else self.client.title


async def ask(identity: Identity, client: DeviceClient, about: About) -> Codes:
    """Let a device wait for somebody. Raises Unavailable."""
    now, device_code = identity.clock(), secrets.token_urlsafe(32)
    device = identity.seal.digest("device code", device_code)
    said = About(
        label=tidy_label(about.label), address=about.address, agent=tidy_label(about.agent)
    )
    for _ in range(ATTEMPTS):
        user_code = new_user_code(secrets.choice)
        grant = Grant(
            device=device,
            shown=identity.seal.digest("user code", user_code),
            client_id=client.client_id,
            account_id=AccountId(new_event_id()),
            sealed=identity.seal.seal(msgspec.json.encode(said).decode(), _context(device)),
            answer=Answer.WAITING,
            tenant=None,
            pause=PAUSE_SECONDS,
            polled_at=None,
            expires_at=now + LIFETIME,
        )
        if await device_grants.add(identity.pool, grant, now):
            return Codes(
                device_code=device_code, user_code=user_code, lifetime=LIFETIME, pause=PAUSE_SECONDS
            )
    raise Unavailable("device codes")


async def find(
    identity: Identity, user_code: str | None, *, address: str, browser: str
) -> Waiting | None:
    """The device that shows this code; None if none does (any more), or it is no code.

    A wrong one costs a try of the network address and of the `browser`, which is known by a random
    text. Raises TooManyRequests, Unavailable.
    """
    now, network = identity.clock(), network_of(address)
    who = identity.seal.digest("network address", network)
    counted = (
        (WRONG_OF_BROWSER, identity.seal.digest("browser", f"{network} {browser}"), MOST_WRONG),
        (WRONG, who, MOST_WRONG_OF_NETWORK),
    )
    for kind, whose, most in counted:
        over = await attempt_limit.take(
            identity.pool, kind, whose, most=most, window=WRONG_WINDOW, now=now
        )
        if over is not None:
            seconds = int(WRONG_WINDOW.total_seconds())
            limit = RateLimit(name="device-code", quota=most, window_seconds=seconds)
            raise TooManyRequests(retry_after_seconds=over, limit=limit)
    shown = identity.seal.digest("user code", user_code or "")
    grant = await device_grants.waiting(identity.pool, shown, now)
    if grant is None or user_code is None:
        await _record_wrong(identity, who)
        return None
    for kind, whose, _ in counted:
        await attempt_limit.give_back(identity.pool, kind, whose)
    return waiting_of(identity, grant)


async def collect(identity: Identity, device_code: str, client: DeviceClient) -> LoggedIn:
    """Let the device in that somebody said yes to: once. Raises GrantRefused, Unavailable."""
    device = identity.seal.digest("device code", device_code)
    now = identity.clock()
    verdict, grant = await device_grants.poll(identity.pool, device, client.client_id, now)
    if verdict is not Verdict.IN or grant is None or grant.tenant is None:
        raise GrantRefused(verdict)
    name, workspace = waiting_of(identity, grant).name, client.workspace(grant.tenant)
    try:
        return await open_session(identity, grant.account_id, workspace, device=name)
    except NotAdmitted:
        # Somebody took its account away again before it came.
        raise GrantRefused(Verdict.DENIED) from None
    except Unavailable:
        await device_grants.settle(identity.pool, device, Answer.APPROVED, grant.tenant)
        raise


def waiting_of(identity: Identity, grant: Grant) -> Waiting:
    """The grant with what the device said of itself. Raises SealBroken."""
    said = identity.seal.open(grant.sealed, _context(grant.device))
    about = msgspec.json.decode(said, type=About)
    return Waiting(grant=grant, client=CLIENTS[grant.client_id], about=about)


def _context(device: str) -> str:
    return f"device grant {device}"


async def _record_wrong(identity: Identity, who: str) -> None:
    """Tell that a code was tried, once a minute for a network address."""
    now = identity.clock()
    refused = LoginRefused(
        realm=PLATFORM, account_id=None, digest=who, reason="user code", refused_at=now
    )
    fact: Fact[GatewayEvent] = Fact(
        event_id=uuid5(REFUSALS, f"{who} {now:%Y-%m-%dT%H:%M}"),
        stream=f"access-{PLATFORM}",
        event=refused,
        occurred_at=now,
    )
    await identity.store.record([fact], metadata=Metadata(tenant=PLATFORM))
