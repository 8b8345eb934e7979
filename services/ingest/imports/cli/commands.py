"""The command `import FILE…`: the old log and our own exports, into the event log (§6).

It works on the database directly, so it works while the API is down. Exit status: 0 when every
row is in the log, 3 when some were rejected, 1 when a file or the log failed, 130 when stopped,
2 for wrong arguments. `import --undo RUN` undoes a run and exits with 0 or 1.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from libs.postgres.pool import SYSTEM
from libs.process.maintenance import rebuild_changed
from libs.process.service import Service
from services.ingest.imports.cli.run import (
    MONTHS,
    ImportOptions,
    rejects_of,
    run_import,
    undo_run,
)
from services.ingest.removals.read_models.undone import SCAN_READ_MODELS
from services.ingest.settings import Settings

_ID: Final = re.compile(r"[\w-]+", re.ASCII)
_ADDRESS: Final = re.compile(r"/d/([\w-]+)", re.ASCII)


Tenant = Annotated[str, typer.Option(help="Whose scans they are.")]
Files = Annotated[list[Path] | None, typer.Argument(help="CSV files and .xlsx workbooks.")]
SpreadsheetId = Annotated[str | None, typer.Option(help="A Google spreadsheet.")]
Credentials = Annotated[
    Path | None, typer.Option(help="The key file of a service account that may read it.")
]
Sheets = Annotated[list[str] | None, typer.Option(help="Only this worksheet; may be repeated.")]
SheetPrefix = Annotated[
    str | None, typer.Option(help=f"Only worksheets that begin so. Of a spreadsheet: {MONTHS}")
]
Timezone = Annotated[
    str | None, typer.Option(help="Where the dates were written. Default: TIMEZONE.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Count against the log, and store nothing in it.")
]
Rejects = Annotated[
    Path | None, typer.Option(help="The folder for rejected rows. Default: beside each file.")
]
Undo = Annotated[
    UUID | None,
    typer.Option(metavar="RUN", help="Take the scans of a run back, and import nothing."),
]


def import_command(service: Service[Settings]) -> Callable[..., None]:
    """The command; an undo rebuilds the read models of scans."""

    def run(
        tenant: Tenant,
        files: Files = None,
        spreadsheet_id: SpreadsheetId = None,
        credentials: Credentials = None,
        sheet: Sheets = None,
        sheet_prefix: SheetPrefix = None,
        timezone: Timezone = None,
        dry_run: DryRun = False,
        rejects: Rejects = None,
        undo: Undo = None,
    ) -> None:
        """Import scans from files or a spreadsheet. Safe to repeat: what is known is skipped.

        Rejected rows are written with reasons to FILE.rejected.csv, which can be mended and
        imported. Exits with 3 if there are any.
        """
        if undo is not None:
            if files or spreadsheet_id or dry_run:
                raise typer.BadParameter("goes alone with --tenant", param_hint="--undo")
            status = undo_run(service, _tenant(tenant), undo)
            raise typer.Exit(status or rebuild_changed(service, SCAN_READ_MODELS))
        _refuse_overwriting(files or [], rejects)
        settings = service.read_settings()
        options = ImportOptions(
            tenant=_tenant(tenant),
            files=files or [],
            spreadsheet=_spreadsheet(spreadsheet_id, credentials, files),
            sheets=sheet or [],
            prefix=sheet_prefix,
            zone=_zone(timezone) if timezone else settings.zone,
            dry=dry_run,
            rejects=_folder(rejects),
        )
        raise typer.Exit(run_import(service, settings, options))

    return run


def _tenant(given: str) -> str:
    if not given.strip() or given == SYSTEM:
        raise typer.BadParameter("name one tenant", param_hint="--tenant")
    return given


def _zone(given: str) -> ZoneInfo:
    try:
        return ZoneInfo(given)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise typer.BadParameter(
            "must be a time zone such as Europe/Moscow", param_hint="--timezone"
        ) from None


def _folder(given: Path | None) -> Path | None:
    if given is not None and not given.is_dir():
        raise typer.BadParameter("must be a folder", param_hint="--rejects")
    return given


def _refuse_overwriting(files: Sequence[Path], rejects: Path | None) -> None:
    """Refuse to overwrite a file of rejected rows that this run imports."""
    written = [rejects_of(path, rejects).resolve() for path in dict.fromkeys(files)]
    if len(set(written)) < len(written):
        raise typer.BadParameter("two files of one name need a run each", param_hint="--rejects")
    for path in files:
        if path.resolve() in written:
            raise typer.BadParameter(f"{path.name} would be overwritten; import it by itself")


def _spreadsheet(
    given: str | None, credentials: Path | None, files: Sequence[Path] | None
) -> tuple[str, Path] | None:
    """The id, which may be given as the spreadsheet's address, and the key file."""
    if given is None:
        if not files:
            raise typer.BadParameter("name files, or a --spreadsheet-id")
        return None
    address = _ADDRESS.search(given)
    spreadsheet_id = address[1] if address else given
    if not _ID.fullmatch(spreadsheet_id):
        raise typer.BadParameter("is no spreadsheet's id", param_hint="--spreadsheet-id")
    if credentials is None:
        raise typer.BadParameter("is needed for a spreadsheet", param_hint="--credentials")
    return spreadsheet_id, credentials
