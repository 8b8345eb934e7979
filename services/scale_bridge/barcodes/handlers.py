"""What happens when an owner sets the rules by which their labels are read, or has one read.

Rules are their owner's, as scales are: in a tenant where people register themselves, others are
strangers. Once there was one list for all of a tenant, in a stream named after it; of that,
owners keep the rules they set, until they set others.
"""

from dataclasses import replace
from functools import reduce
from typing import Final
from uuid import UUID

from contracts.scale_bridge import BarcodeRulesSet
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from services.scale_bridge.barcodes.domain import BARCODES, Rules, SetRules
from services.scale_bridge.context import Context
from services.scale_bridge.devices.handlers.device import owner_of

MOST_OWNERS: Final = 1000
"""How many owners' rules are cached: anyone who registers may set rules."""


async def rules_of(context: Context, tenant: str, owner: UUID) -> Rules:
    """The owner's rules as the log has them; none if they set none. Raises LogUnavailable."""
    key = f"{tenant} {owner}"
    rules, version = context.rules.get(key, (BARCODES.initial, 0))
    later = await context.store.log.read(tenant, BARCODES.stream(owner), after=version)
    if later:
        rules = reduce(BARCODES.evolve, map(context.store.decode, later), rules)
        context.rules.pop(key, None)
        context.rules[key] = rules, version + len(later)
        while len(context.rules) > MOST_OWNERS:
            del context.rules[next(iter(context.rules))]
    return rules if version or later else await _of_the_tenant(context, tenant, owner)


async def set_rules(context: Context, command: SetRules, metadata: Metadata) -> Rules:
    """Read labels by these rules from now on. Safe to repeat. Raises BadRules, LogUnavailable."""
    owner = owner_of(command.set_by)
    own = replace(BARCODES, initial=await _of_the_tenant(context, metadata.tenant, owner))
    await execute(context.store, own, owner, command, metadata=metadata)
    return await rules_of(context, metadata.tenant, owner)


async def _of_the_tenant(context: Context, tenant: str, owner: UUID) -> Rules:
    """What the owner set of the tenant's list."""
    rules = BARCODES.initial
    for event in (await context.store.read(tenant, BARCODES.stream(tenant))).events:
        if isinstance(event, BarcodeRulesSet) and owner_of(event.set_by) == owner:
            rules = event.rules
    return rules
