"""The command `import <dump>`: the data of the former system, into a shop.

Exit status: 0 when every row is accounted for, 3 when some were rejected, 1 when refused, 2 for
wrong arguments.
"""

import csv
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from libs.eventsourcing.log import Metadata
from libs.process.database_command import run_command
from libs.process.service import Service
from services.shop.context import IMPORT, Context, tenant_of
from services.shop.imports.adapters import read_tables
from services.shop.imports.handlers import NEEDED, Import

REJECTED: Final = 3

Source = Annotated[
    Path,
    typer.Argument(
        exists=True, help="A dump by pg_dump in plain format, or a folder of CSV files."
    ),
]
Number = Annotated[int, typer.Option("--shop", min=1, help="The number of the shop here.")]
Former = Annotated[int, typer.Option("--of", min=1, help="Its number in the former system.")]
Rejects = Annotated[Path | None, typer.Option(help="A CSV file for rejected rows and reasons.")]


def add_import(app: typer.Typer, service: Service[Any]) -> None:
    """Add the command."""

    @app.command("import")
    def run(source: Source, shop: Number, of: Former = 1, rejects: Rejects = None) -> None:
        """Import customers, products, warehouse items and orders of the former system.

        Safe to repeat and to interrupt: what is imported already is left alone.
        """
        run_command(service, lambda context: _import(context, source, shop, of, rejects))


async def _import(context: Context, source: Path, shop: int, of: int, rejects: Path | None) -> int:
    tables = read_tables(source)
    metadata = Metadata(tenant=tenant_of(shop), actor=IMPORT)
    run = Import(context, tables, metadata, of=of, zone=context.settings.zone)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bars = {name: progress.add_task(name, total=len(tables.get(name, ()))) for name in NEEDED}
        await run.run(lambda name, done: progress.advance(bars[name], done))
    table = Table("table", "rows", "account")
    for name, account in run.accounts.items():
        counts = ", ".join(f"{count} {what}" for what, count in account.rows.items() if count)
        table.add_row(name, str(len(tables.get(name, ()))), counts)
    Console().print(table)
    rejected = [(name, *one) for name, account in run.accounts.items() for one in account.rejects]
    if rejects is not None:
        with rejects.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("table", "id", "reason"), *rejected])
    for name, former, reason in rejected[:20]:
        Console().print(f"{name} {former}: {reason}", markup=False)
    return REJECTED if rejected else 0
