"""Commands of the calculator."""

from collections.abc import Mapping
from typing import Any, Final

from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from libs.postgres.sequences import Sequence
from services.shop.context import Context, authorship
from services.shop.products.calculator import domain

NUMBERS: Final = Sequence("material_number")


async def change_material(
    context: Context, number: int, command: domain.MaterialCommand, metadata: Metadata
) -> domain.StoredMaterial:
    """Change a material, and return it as it was right after the change.

    Raises MaterialUnknown, LogUnavailable.
    """
    executed = await execute(context.store, domain.MATERIAL, number, command, metadata=metadata)
    history = await context.store.read(metadata.tenant, domain.MATERIAL.stream(number))
    return domain.MATERIAL.state_after(history.events[: executed.version])


async def load_settings(context: Context, tenant: str) -> domain.Settings:
    """The settings of a shop, by default those of a new one. Raises LogUnavailable."""
    history = await context.store.read(tenant, domain.SETTINGS.stream(domain.ID))
    return domain.SETTINGS.state_after(history.events)


async def change_settings(
    context: Context, changes: Mapping[str, Any], metadata: Metadata
) -> domain.Settings:
    """Replace some of the settings. Raises LogUnavailable."""
    command = domain.ChangeSettings(changes=changes, **authorship(context, metadata))
    await execute(context.store, domain.SETTINGS, domain.ID, command, metadata=metadata)
    return await load_settings(context, metadata.tenant)
