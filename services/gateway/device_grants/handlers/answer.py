"""Approving or denying a device.

The approver logs in for one answer and is logged out after it; no token is issued.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from contracts.gateway import AccountId, DeviceEnrolled, DeviceRefused, GatewayEvent
from libs.errors import Refused
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.store import Fact
from services.gateway.accounts.domain.account import Account
from services.gateway.accounts.domain.commands import OpenAccount
from services.gateway.accounts.domain.device_client import DeviceClient
from services.gateway.accounts.domain.person import Address, Person
from services.gateway.accounts.domain.realm import PLATFORM, PLATFORM_WORKSPACE, Role, scopes_of
from services.gateway.accounts.handlers.address import owner_in
from services.gateway.accounts.handlers.enrollment import fact_id
from services.gateway.accounts.handlers.execution import Plan, execute_with_facts
from services.gateway.accounts.handlers.identity import (
    ACCOUNT_NUMBERS,
    NO_ACCOUNT,
    Identity,
    load,
    seal_person,
)
from services.gateway.device_grants import stores as device_grants
from services.gateway.device_grants.domain.grant import AlreadyAnswered, GrantStatus
from services.gateway.device_grants.handlers.grant import PendingDevice
from services.gateway.sessions.handlers.attempts import Attempts
from services.gateway.sessions.handlers.login import NO_ADDRESS, LoginFailed, log_in
from services.gateway.sessions.handlers.session import LoggedIn, revoke

DEVICE: Final = "device approval"

Choices: TypeAlias = Mapping[str, Role]
"""The tenants whose devices an account may approve, and the role by which."""


class TenantAmbiguous(Refused):
    """You manage the devices of several tenants; choose one of them."""

    def __init__(self, tenants: tuple[str, ...]) -> None:
        super().__init__()
        self.tenants = tenants


@dataclass(frozen=True, kw_only=True, slots=True)
class Approver:
    """The login of an approver, and the tenant of the device if there are several.

    `default` is the tenant for the platform's administrators if none is given.
    """

    address: Address | None
    password: str
    tenant: str | None
    default: str
    attempts: Attempts | None


async def answer_grant(
    identity: Identity, device: PendingDevice, approver: Approver, *, allow: bool
) -> str:
    """Approve the device (`allow`) or deny it; the tenant of the device.

    Raises LoginFailed also if the account may not manage such devices; TenantAmbiguous,
    AlreadyAnswered, TooManyRequests, Unavailable.
    """
    choices = await _choices(identity, device.client, approver)
    logged_in = await _log_in(identity, device.client, approver, choices)
    try:
        if len(choices) != 1:
            raise TenantAmbiguous(tuple(sorted(choices)))
        (tenant,) = choices
        await _record_answer(identity, device, logged_in.account.account_id, tenant, allow=allow)
    finally:
        who = str(logged_in.account.account_id)
        await revoke(identity, logged_in.session_id, reason="logout", actor=who)
    return tenant


async def _choices(identity: Identity, client: DeviceClient, approver: Approver) -> Choices:
    """The tenants that the owner of the address may choose from; the password is not checked yet.

    The platform's administrator with this address takes precedence over an account of the device's
    realm, which may have registered itself with the same address.
    """
    address, device_workspace = (
        approver.address or NO_ADDRESS,
        client.workspace(approver.tenant or approver.default),
    )
    owners = [
        await owner_in(identity, address, workspace)
        for workspace in (PLATFORM_WORKSPACE, device_workspace)
    ]
    accounts = [(await load(identity, owner or NO_ACCOUNT)).account for owner in owners]
    chosen = [_choices_of(account, client, approver) for account in accounts]
    return chosen[0] or chosen[1]


def _choices_of(account: Account, client: DeviceClient, approver: Approver) -> Choices:
    found: dict[str, Role] = {}
    for workspace, name in account.roles.items():
        anywhere = workspace == PLATFORM_WORKSPACE
        tenant = (approver.tenant or approver.default) if anywhere else workspace.tenant
        scopes = scopes_of(workspace.realm, name)
        chosen = approver.tenant in (None, tenant)
        if chosen and client.is_managed_in(workspace, scopes, tenant):
            found.setdefault(tenant, Role(workspace, name))
    return found


async def _log_in(
    identity: Identity, client: DeviceClient, approver: Approver, choices: Choices
) -> LoggedIn:
    """Log in the approver in the role of a choice. Without one it fails after the same work."""
    role = next(iter(choices.values()), None)
    workspace = role.workspace if role else client.workspace(approver.default)
    logged_in = await log_in(
        identity,
        realm=workspace.realm,
        tenant=workspace.tenant,
        address=approver.address,
        password=approver.password,
        device=DEVICE,
        roles=[role.name] if role else [],
        attempts=approver.attempts,
    )
    if role is None:
        raise LoginFailed
    return logged_in


async def _record_answer(
    identity: Identity, device: PendingDevice, approver: AccountId, tenant: str, *, allow: bool
) -> None:
    grant = await device_grants.claim(
        identity.pool, device.grant.user_code_digest, identity.clock()
    )
    if grant is None or grant.device_digest != device.grant.device_digest:
        raise AlreadyAnswered
    record, status = (_enrol, GrantStatus.APPROVED) if allow else (_refuse, GrantStatus.DENIED)
    try:
        await record(identity, device, approver, tenant)
    except Exception:
        # Nothing was recorded, so that the grant can be answered again.
        await device_grants.set_status(identity.pool, grant.device_digest, GrantStatus.WAITING)
        raise
    await device_grants.set_status(identity.pool, grant.device_digest, status, tenant)


async def _enrol(
    identity: Identity, device: PendingDevice, approver: AccountId, tenant: str
) -> None:
    """Open an account for the device, and record who enrolled it, in one append."""
    client, account_id, now = device.client, device.grant.account_id, identity.clock()
    command = OpenAccount(
        account_id=account_id,
        number=await ACCOUNT_NUMBERS.next(identity.pool),
        person=seal_person(identity.seal, account_id, Person(name=device.name)),
        password=None,
        roles=(Role(client.workspace(tenant), client.role),),
        now=now,
    )
    enrolled = DeviceEnrolled(
        account_id=account_id,
        realm=client.realm,
        tenant=tenant,
        client=client.client_id,
        enrolled_by=approver,
        enrolled_at=now,
    )
    fact = _fact(device, enrolled, now)

    async def plan(account: Account) -> Plan:
        # An earlier attempt may have recorded it before its result was lost.
        return (None, ()) if account.exists else (command, [fact])

    await execute_with_facts(identity, account_id, plan, actor=str(approver))


async def _refuse(
    identity: Identity, device: PendingDevice, approver: AccountId, tenant: str
) -> None:
    now = identity.clock()
    refused = DeviceRefused(
        account_id=device.grant.account_id,
        realm=device.client.realm,
        tenant=tenant,
        client=device.client.client_id,
        refused_by=approver,
        refused_at=now,
    )
    metadata = Metadata(tenant=PLATFORM, actor=str(approver))
    await identity.store.record([_fact(device, refused, now)], metadata=metadata)


def _fact(
    device: PendingDevice, event: DeviceEnrolled | DeviceRefused, now: datetime
) -> Fact[GatewayEvent]:
    return Fact(
        event_id=fact_id(device.grant.account_id, type(event)),
        stream=f"access-{device.client.realm}",
        event=event,
        occurred_at=now,
    )
