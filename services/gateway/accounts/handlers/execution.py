"""Commands on an account whose events carry facts: both are appended or neither is."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from contracts.gateway import AccountId, GatewayEvent
from libs.eventsourcing.log import Metadata, VersionConflict
from libs.eventsourcing.store import Fact
from services.gateway.accounts.domain.account import ACCOUNT, Account
from services.gateway.accounts.domain.commands import AccountCommand
from services.gateway.accounts.domain.realm import PLATFORM
from services.gateway.accounts.handlers.identity import Identity

ATTEMPTS: Final = 5

Plan: TypeAlias = tuple[AccountCommand | None, Sequence[Fact[GatewayEvent]]]
"""A command, and the facts appended together with its events; None if there is nothing to do.
"""
Planner: TypeAlias = Callable[[Account], Awaitable[Plan]]


async def execute_with_facts(
    identity: Identity, account_id: AccountId, plan: Planner, *, actor: str
) -> Account:
    """The account after the command that `plan` returns. After a lost race `plan` runs again.

    Raises what `plan` and the decision raise, VersionConflict, LogUnavailable.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await _once(identity, account_id, plan, actor)
        except VersionConflict:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


async def _once(identity: Identity, account_id: AccountId, plan: Planner, actor: str) -> Account:
    store, stream = identity.store, ACCOUNT.stream(account_id)
    history = await store.read(PLATFORM, stream)
    account = ACCOUNT.state_after(history.events)
    command, facts = await plan(account)
    events = [] if command is None else ACCOUNT.decide(account, command)
    if events:
        metadata = Metadata(tenant=PLATFORM, actor=actor)
        await store.append(stream, events, expected=history.version, metadata=metadata, facts=facts)
    return ACCOUNT.state_after((*history.events, *events))
