"""The command `prices <file>`: sets the prices of a shop from a file.

Exit status: 0 when all are set, 1 if a row was no price or named no product, or when refused, 2 for
wrong arguments.
"""

import csv
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import Progress

from libs.eventsourcing.log import Metadata
from libs.process.database_command import run_command
from libs.process.service import Service
from services.shop.context import ApiContext, tenant_of
from services.shop.products.prices.domain import BadPriceList, BadRow, NewPrice, read_rows
from services.shop.products.prices.handlers import PricesSet, set_prices

ACTOR: Final = "command line"
MOST_SHOWN: Final = 20

File = Annotated[
    Path,
    typer.Argument(
        exists=True, dir_okay=False, help="CSV in UTF-8; its first line names article or id, price."
    ),
]
Number = Annotated[int, typer.Option("--shop", min=1, help="The number of the shop.")]


def add_prices(app: typer.Typer, service: Service[Any]) -> None:
    """Add the command."""

    @app.command("prices")
    def prices(file: File, shop: Number) -> None:
        """Set the prices of a shop from a file. Prices that are the same already stay."""
        run_command(service, lambda context: _set(context, file, shop))


async def _set(context: ApiContext, file: Path, shop: int) -> int:
    rows = _read(file)
    wanted = [row for row in rows if isinstance(row, NewPrice)]
    metadata = Metadata(tenant=tenant_of(shop), actor=ACTOR)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("prices", total=len(wanted))
        result = await set_prices(
            context, wanted, metadata, on_progress=lambda done: progress.advance(bar, done)
        )
    bad = [row for row in rows if isinstance(row, BadRow)]
    _report(result, bad)
    return 1 if bad or result.unknown else 0


def _read(file: Path) -> list[NewPrice | BadRow]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            first = text.readline()
            text.seek(0)
            delimiter = max(",;\t", key=first.count)
            return list(read_rows(csv.DictReader(text, delimiter=delimiter)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadPriceList(f"Файл не читается: {error}") from error


def _report(result: PricesSet, bad: list[BadRow]) -> None:
    console = Console()
    console.print(
        f"{result.changed} changed, {result.unchanged} unchanged, "
        f"{len(result.unknown)} unknown, {len(bad)} bad rows"
    )
    for row in bad[:MOST_SHOWN]:
        console.print(f"line {row.line}: {row.reason}", markup=False)
    for one in result.unknown[:MOST_SHOWN]:
        name = f"id {one.product_id}" if one.product_id else f"article {one.article}"
        console.print(f"unknown: {name}", markup=False)
