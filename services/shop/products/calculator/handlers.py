"""Commands of the calculator."""

from collections.abc import Mapping
from typing import Any, Final

from contracts.shop import Material
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from libs.postgres.sequences import Sequence
from services.shop.context import Context
from services.shop.products import handlers as products
from services.shop.products.calculator.domain import (
    ID,
    MATERIAL,
    SETTINGS,
    AddMaterial,
    Calculation,
    Change,
    ChangeSettings,
    Command,
    Settings,
    StoredMaterial,
    calculated_product,
    components_of,
)
from services.shop.products.domain import Product

NUMBERS: Final = Sequence("material_number")


async def add_material(context: Context, material: Material, metadata: Metadata) -> StoredMaterial:
    """Add a material under the next number. Raises LogUnavailable."""
    number = await NUMBERS.next(context.system)
    return await change_material(context, number, AddMaterial(number, material), metadata)


async def change_material(
    context: Context, number: int, change: Change, metadata: Metadata
) -> StoredMaterial:
    """Change a material, and return it as it was right after the change.

    Raises MaterialUnknown, LogUnavailable.
    """
    command = Command(change=change, by=metadata.actor or "", now=context.clock())
    executed = await execute(context.store, MATERIAL, number, command, metadata=metadata)
    history = await context.store.read(metadata.tenant, MATERIAL.stream(number))
    return MATERIAL.state_after(history.events[: executed.version])


async def load_settings(context: Context, tenant: str) -> Settings:
    """The settings of a shop, by default those of a new one. Raises LogUnavailable."""
    history = await context.store.read(tenant, SETTINGS.stream(ID))
    return SETTINGS.state_after(history.events)


async def change_settings(
    context: Context, changes: Mapping[str, Any], metadata: Metadata
) -> Settings:
    """Replace some of the settings. Raises LogUnavailable."""
    command = ChangeSettings(changes=changes, by=metadata.actor or "", now=context.clock())
    await execute(context.store, SETTINGS, ID, command, metadata=metadata)
    return await load_settings(context, metadata.tenant)


async def create_product(
    context: Context,
    calculation: Calculation,
    metadata: Metadata,
    *,
    name: str | None,
    description: str | None,
    category: str,
) -> Product:
    """Add the product of a calculation. Raises BadCalculation, LogUnavailable."""
    details = calculated_product(calculation, name=name, description=description, category=category)
    return await products.add(context, details, metadata, components=components_of(calculation))
