"""Commands on an account with facts: events and facts are appended in one transaction."""

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
"""A command (None for no change) and the facts to append with its events."""
Planner: TypeAlias = Callable[[Account], Awaitable[Plan]]


async def execute_with_facts(
    identity: Identity, account_id: AccountId, plan: Planner, *, actor: str
) -> Account:
    """Execute the command that `plan` returns for the account; the account after it.

    After a VersionConflict `plan` runs again, ATTEMPTS times in all. Raises what `plan` and the
    decision raise, VersionConflict, LogUnavailable.
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
