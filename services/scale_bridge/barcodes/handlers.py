"""The rules of an owner's labels: loaded and set.

Rules belong to an owner, as scales do: a tenant may have owners who do not know each other.
"""

from functools import reduce
from typing import Final
from uuid import UUID

from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from services.scale_bridge.barcodes.domain import BARCODES, Rules, SetRules
from services.scale_bridge.context import Context
from services.scale_bridge.devices.handlers.device import owner_of

MOST_OWNERS: Final = 1000
"""The most owners whose rules are cached: everybody who registers may set rules."""


async def rules_of(context: Context, tenant: str, owner: UUID) -> Rules:
    """The owner's current rules; empty if none were set. Raises LogUnavailable."""
    key = f"{tenant} {owner}"
    rules, version = context.rules.get(key, (BARCODES.initial, 0))
    later = await context.store.log.read(tenant, BARCODES.stream(owner), after=version)
    if later:
        rules = reduce(BARCODES.evolve, map(context.store.decode, later), rules)
        context.rules.pop(key, None)
        context.rules[key] = rules, version + len(later)
        while len(context.rules) > MOST_OWNERS:
            del context.rules[next(iter(context.rules))]
    return rules


async def set_rules(context: Context, command: SetRules, metadata: Metadata) -> Rules:
    """Replace the rules of an owner. Safe to repeat. Raises BadRules, LogUnavailable."""
    owner = owner_of(command.set_by)
    await execute(context.store, BARCODES, owner, command, metadata=metadata)
    return await rules_of(context, metadata.tenant, owner)
