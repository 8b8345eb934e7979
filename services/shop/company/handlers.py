"""Commands of the settings."""

from typing import Any

from contracts.shop import DeliveryZone
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from services.shop.company.domain import (
    COMPANY,
    ID,
    AddZone,
    ChangeCompany,
    Command,
    NameCompany,
    Settings,
)
from services.shop.context import ApiContext, Context


async def change(context: ApiContext, changes: dict[str, Any], metadata: Metadata) -> Settings:
    """Replace some fields of the settings. Raises LogUnavailable."""
    command = ChangeCompany(changes=changes, changed_by=metadata.actor or "", now=context.clock())
    return await _executed(context, command, metadata)


async def add_zone(context: ApiContext, zone: DeliveryZone, metadata: Metadata) -> Settings:
    """Add a delivery zone, or change its price. Raises LogUnavailable."""
    command = AddZone(zone=zone, changed_by=metadata.actor or "", now=context.clock())
    return await _executed(context, command, metadata)


async def name_company(context: Context, name: str, metadata: Metadata) -> Settings:
    """Name a company that has no name yet. Safe to repeat. Raises LogUnavailable."""
    command = NameCompany(name=name, changed_by=metadata.actor or "", now=context.clock())
    return await _executed(context, command, metadata)


async def _executed(context: Context, command: Command, metadata: Metadata) -> Settings:
    await execute(context.store, COMPANY, ID, command, metadata=metadata)
    history = await context.store.read(metadata.tenant, COMPANY.stream(ID))
    return COMPANY.state_after(history.events)
