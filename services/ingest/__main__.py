"""`python -m services.ingest`: run it, migrate it, mend its read models."""

from libs.process.commands import Service, command_line
from libs.process.maintenance import rebuild_changed
from services.ingest import bootstrap
from services.ingest.imports.cli.commands import add_import
from services.ingest.quarantine.cli.commands import quarantine_commands
from services.ingest.settings import Settings

SERVICE = Service(
    name=bootstrap.SERVICE,
    settings=Settings,
    open_app=bootstrap.open_app,
    projections=bootstrap.projections,
    open_tasks=bootstrap.open_tasks,
)

app = command_line(SERVICE)
app.add_typer(
    quarantine_commands(lambda: bootstrap.open_desk(SERVICE.read_settings())), name="quarantine"
)
add_import(
    app,
    SERVICE.read_settings,
    bootstrap.open_store,
    bootstrap.open_spreadsheet,
    lambda: rebuild_changed(SERVICE, bootstrap.OF_SCANS),
)

if __name__ == "__main__":
    app()
