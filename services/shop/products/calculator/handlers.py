"""Commands of the calculator. A shop has few materials: queries read them from its stream."""

from typing import Any, Final

from contracts.shop import Material
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from libs.postgres.sequences import Sequence
from services.shop.context import Context
from services.shop.products import handlers as products
from services.shop.products.calculator.domain import (
    CALCULATOR,
    ID,
    AddMaterial,
    Calculation,
    Calculator,
    Change,
    Command,
    StoredMaterial,
    calculated_product,
    components_of,
)
from services.shop.products.domain import Product

NUMBERS: Final = Sequence("material_number")


async def load(context: Context, tenant: str) -> Calculator:
    """The calculator of a shop, by default that of a new one. Raises LogUnavailable."""
    history = await context.store.read(tenant, CALCULATOR.stream(ID))
    return CALCULATOR.state_after(history.events)


async def change(context: Context, change: Change, metadata: Metadata) -> Calculator:
    """Change the calculator, and return it as it was right after the change.

    Raises MaterialUnknown, LogUnavailable.
    """
    command = Command(change=change, by=metadata.actor or "", now=context.clock())
    executed = await execute(context.store, CALCULATOR, ID, command, metadata=metadata)
    history = await context.store.read(metadata.tenant, CALCULATOR.stream(ID))
    return CALCULATOR.state_after(history.events[: executed.version])


async def add_material(context: Context, material: Material, metadata: Metadata) -> StoredMaterial:
    """Add a material under the next number. Raises LogUnavailable."""
    number = await NUMBERS.next(context.system)
    return (await change(context, AddMaterial(number, material), metadata)).material(number)


async def create_product(
    context: Context, calculation: Calculation, metadata: Metadata, **described: Any
) -> Product:
    """Add the product of a calculation, `described` as for `calculated_product`.

    Raises BadCalculation, LogUnavailable.
    """
    details = calculated_product(calculation, **described)
    return await products.add(context, details, metadata, components=components_of(calculation))
