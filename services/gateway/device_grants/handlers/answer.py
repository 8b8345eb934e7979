"""Approving or denying a device.

They log in for this one answer, and are out again after it: nobody gets a token.
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
from services.gateway.accounts.handlers.identity import NO_ACCOUNT, Identity, load, seal_person
from services.gateway.accounts.stores.id_sequence import next_number
from services.gateway.device_grants import stores as device_grants
from services.gateway.device_grants.domain.grant import Answer, AnsweredAlready
from services.gateway.device_grants.handlers.grant import Waiting
from services.gateway.sessions.handlers.attempts import Attempts
from services.gateway.sessions.handlers.login import NO_ADDRESS, LoginFailed, log_in
from services.gateway.sessions.handlers.session import LoggedIn, revoke

DEVICE: Final = "device approval"

Choices: TypeAlias = Mapping[str, Role]
"""For whom somebody may let devices in, and as what."""


class WhichTenant(Refused):
    """You look after the devices of several; say for which of them."""

    def __init__(self, tenants: tuple[str, ...]) -> None:
        super().__init__()
        self.tenants = tenants


@dataclass(frozen=True, kw_only=True, slots=True)
class Manager:
    """Who answers: a login and its password, and for whom if that is not clear.

    `default` is the tenant that the platform's administrators mean if they say none.
    """

    address: Address | None
    password: str
    tenant: str | None
    default: str
    attempts: Attempts | None


async def answer(identity: Identity, waiting: Waiting, manager: Manager, *, allow: bool) -> str:
    """Say yes or no; whose device it is now, or would have been.

    Raises LoginFailed for who is not known or may not manage such devices, WhichTenant,
    AnsweredAlready, TooManyRequests, Unavailable.
    """
    choices = await _choices(identity, waiting.client, manager)
    logged_in = await _log_in(identity, waiting.client, manager, choices)
    try:
        if len(choices) != 1:
            raise WhichTenant(tuple(sorted(choices)))
        (tenant,) = choices
        await _settle(identity, waiting, logged_in.account.account_id, tenant, allow=allow)
    finally:
        who = str(logged_in.account.account_id)
        await revoke(identity, logged_in.session_id, reason="logout", actor=who)
    return tenant


async def _choices(identity: Identity, client: DeviceClient, manager: Manager) -> Choices:
    """What the account may choose from, as it says of itself: nobody has proved anything yet.

    The platform's administrator of this address goes before somebody who acts in the device's realm
    under the same one, for they may have registered themselves.
    """
    written, there = (
        manager.address or NO_ADDRESS,
        client.workspace(manager.tenant or manager.default),
    )
    owners = [
        await owner_in(identity, written, workspace) for workspace in (PLATFORM_WORKSPACE, there)
    ]
    accounts = [(await load(identity, owner or NO_ACCOUNT)).account for owner in owners]
    chosen = [_choices_of(account, client, manager) for account in accounts]
    return chosen[0] or chosen[1]


def _choices_of(account: Account, client: DeviceClient, manager: Manager) -> Choices:
    found: dict[str, Role] = {}
    for workspace, name in account.roles.items():
        anywhere = workspace == PLATFORM_WORKSPACE
        tenant = (manager.tenant or manager.default) if anywhere else workspace.tenant
        scopes = scopes_of(workspace.realm, name)
        wanted = manager.tenant in (None, tenant)
        if wanted and client.is_managed_in(workspace, scopes, tenant):
            found.setdefault(tenant, Role(workspace, name))
    return found


async def _log_in(
    identity: Identity, client: DeviceClient, manager: Manager, choices: Choices
) -> LoggedIn:
    """Prove who it is, in one of those roles; without any it fails, after the same work."""
    role = next(iter(choices.values()), None)
    workspace = role.workspace if role else client.workspace(manager.default)
    logged_in = await log_in(
        identity,
        realm=workspace.realm,
        tenant=workspace.tenant,
        address=manager.address,
        password=manager.password,
        device=DEVICE,
        roles=[role.name] if role else [],
        attempts=manager.attempts,
    )
    if role is None:
        raise LoginFailed
    return logged_in


async def _settle(
    identity: Identity, waiting: Waiting, manager: AccountId, tenant: str, *, allow: bool
) -> None:
    grant = await device_grants.claim(identity.pool, waiting.grant.shown, identity.clock())
    if grant is None or grant.device != waiting.grant.device:
        raise AnsweredAlready
    told, after = (_enrol, Answer.APPROVED) if allow else (_refuse, Answer.DENIED)
    try:
        await told(identity, waiting, manager, tenant)
    except Exception:
        # Nothing was told: whoever tries again may answer.
        await device_grants.settle(identity.pool, grant.device, Answer.WAITING)
        raise
    await device_grants.settle(identity.pool, grant.device, after, tenant)


async def _enrol(identity: Identity, waiting: Waiting, manager: AccountId, tenant: str) -> None:
    """Give the device an account of its own, told together with who let it in."""
    client, account_id, now = waiting.client, waiting.grant.account_id, identity.clock()
    command = OpenAccount(
        account_id=account_id,
        number=await next_number(identity.pool),
        person=seal_person(identity.seal, account_id, Person(name=waiting.name)),
        password=None,
        roles=(Role(client.workspace(tenant), client.role),),
        now=now,
    )
    enrolled = DeviceEnrolled(
        account_id=account_id,
        realm=client.realm,
        tenant=tenant,
        client=client.client_id,
        enrolled_by=manager,
        enrolled_at=now,
    )
    fact = _fact(waiting, enrolled, now)

    async def plan(account: Account) -> Plan:
        # It may have been told before what came of it got lost.
        return (None, ()) if account.exists else (command, [fact])

    await execute_with_facts(identity, account_id, plan, actor=str(manager))


async def _refuse(identity: Identity, waiting: Waiting, manager: AccountId, tenant: str) -> None:
    now = identity.clock()
    refused = DeviceRefused(
        account_id=waiting.grant.account_id,
        realm=waiting.client.realm,
        tenant=tenant,
        client=waiting.client.client_id,
        refused_by=manager,
        refused_at=now,
    )
    metadata = Metadata(tenant=PLATFORM, actor=str(manager))
    await identity.store.record([_fact(waiting, refused, now)], metadata=metadata)


def _fact(
    waiting: Waiting, told: DeviceEnrolled | DeviceRefused, now: datetime
) -> Fact[GatewayEvent]:
    return Fact(
        event_id=fact_id(waiting.grant.account_id, type(told)),
        stream=f"access-{waiting.client.realm}",
        event=told,
        occurred_at=now,
    )
