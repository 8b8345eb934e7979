"""The command `forget <shop> <customer>`: forgets a person, and prints the receipts."""

from typing import Annotated, Any, Final

import typer

from libs.eventsourcing.log import Metadata
from libs.process.database_command import run_command
from libs.process.service import Service
from libs.process.vault_commands import receipt_line
from services.shop.context import ApiContext, tenant_of
from services.shop.customers import handlers

ACTOR: Final = "command line"

ShopNumber = Annotated[int, typer.Argument(min=1, help="The number of the shop.")]
CustomerId = Annotated[int, typer.Argument(min=1, help="The id of the customer.")]


def add_forget(app: typer.Typer, service: Service[Any]) -> None:
    """Add the command."""

    @app.command()
    def forget(shop: ShopNumber, customer: CustomerId) -> None:
        """Destroy the keys of a customer and of all the orders, and erase their texts.

        It cannot be undone. Safe to repeat. Refused while an order of the customer is open.
        """
        run_command(service, lambda context: _forget(context, shop, customer))


async def _forget(context: ApiContext, shop: int, customer: int) -> None:
    metadata = Metadata(tenant=tenant_of(shop), actor=ACTOR)
    for receipt in await handlers.forget(context, customer, metadata):
        typer.echo(receipt_line(receipt))
