"""The rules of an owner's labels: loaded and set.

Rules belong to an owner, as scales do: a tenant may have owners who do not know each other. An
earlier version had one list per tenant, in a stream with the tenant's name; from that list an owner
still has the rules they set, until they set others.
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
    return rules if version or later else await _tenant_rules(context, tenant, owner)


async def set_rules(context: Context, command: SetRules, metadata: Metadata) -> Rules:
    """Replace the rules of an owner. Safe to repeat. Raises BadRules, LogUnavailable."""
    owner = owner_of(command.set_by)
    aggregate = replace(BARCODES, initial=await _tenant_rules(context, metadata.tenant, owner))
    await execute(context.store, aggregate, owner, command, metadata=metadata)
    return await rules_of(context, metadata.tenant, owner)


async def _tenant_rules(context: Context, tenant: str, owner: UUID) -> Rules:
    """The rules that the owner set in the list of the tenant."""
    rules = BARCODES.initial
    for event in (await context.store.read(tenant, BARCODES.stream(tenant))).events:
        if isinstance(event, BarcodeRulesSet) and owner_of(event.set_by) == owner:
            rules = event.rules
    return rules
