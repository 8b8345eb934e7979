"""The command `prices <file>`: sets the prices of a shop from a file.

Exit status: 0 when all are set, 1 if a row has no price or names no product, or when refused, 2 for
wrong arguments.
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import Progress

from libs.errors import Unfit
from libs.eventsourcing.log import Metadata
from libs.process.database_command import run_command
from libs.process.service import Service
from services.shop.context import MOST_TENGE, ApiContext, tenant_of
from services.shop.products.handlers import NewPrice, set_prices

ACTOR: Final = "command line"
MOST_SHOWN: Final = 20

File = Annotated[
    Path,
    typer.Argument(
        exists=True, dir_okay=False, help="CSV in UTF-8; its first line names article or id, price."
    ),
]
Number = Annotated[int, typer.Option("--shop", min=1, help="The number of the shop.")]


class BadPriceList(Unfit):
    """В первой строке файла нужны столбцы article или id, и price"""


def add_prices(app: typer.Typer, service: Service[Any]) -> None:
    """Add the command."""

    @app.command("prices")
    def prices(file: File, shop: Number) -> None:
        """Set the prices of a shop from a file. Prices that are the same already stay."""
        run_command(service, lambda context: _set(context, file, shop))


def read_rows(rows: Iterable[Mapping[str, str | None]]) -> tuple[list[NewPrice], list[str]]:
    """The new prices of a file whose first line names the columns, and what is wrong with other
    rows. Raises BadPriceList."""
    wanted: list[NewPrice] = []
    faults: list[str] = []
    for line, row in enumerate(rows, 2):
        named = {str(name).strip().lower(): text for name, text in row.items()}
        if "price" not in named or not named.keys() & {"id", "article"}:
            raise BadPriceList
        price, number, article = (_number(named.get(one)) for one in ("price", "id", "article"))
        if price is None or not 0 < price <= MOST_TENGE:
            faults.append(f"line {line}: цена должна быть целым числом больше 0")
        elif not (number or article):
            faults.append(f"line {line}: нет ни id, ни article")
        else:
            wanted.append(NewPrice(price=price, product_id=number, article=article))
    return wanted, faults


def _number(text: str | None) -> int | None:
    digits = (text or "").replace(" ", "").replace("\u00a0", "")
    return int(digits) if digits.isdecimal() and len(digits) <= len(str(2**53)) else None


async def _set(context: ApiContext, file: Path, shop: int) -> int:
    wanted, faults = _read(file)
    metadata = Metadata(tenant=tenant_of(shop), actor=ACTOR)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("prices", total=len(wanted))
        result = await set_prices(
            context, wanted, metadata, on_progress=lambda done: progress.advance(bar, done)
        )
    console = Console()
    console.print(
        f"{result.changed} changed, {result.unchanged} unchanged, "
        f"{len(result.unknown)} unknown, {len(faults)} bad rows"
    )
    unknown = [
        f"unknown: id {one.product_id}" if one.product_id else f"unknown: article {one.article}"
        for one in result.unknown
    ]
    for text in [*faults[:MOST_SHOWN], *unknown[:MOST_SHOWN]]:
        console.print(text, markup=False)
    return 1 if faults or unknown else 0


def _read(file: Path) -> tuple[list[NewPrice], list[str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            first = text.readline()
            text.seek(0)
            delimiter = max(",;\t", key=first.count)
            return read_rows(csv.DictReader(text, delimiter=delimiter))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadPriceList(f"Файл не читается: {error}") from error
