"""`python -m services.ingest`: run it, migrate it, mend its read models."""

from libs.process.commands import command_line
from libs.process.maintenance import rebuild_changed
from libs.process.service import Service
from services.ingest import bootstrap
from services.ingest.imports.cli.commands import ImportCommand
from services.ingest.quarantine.cli import quarantine_commands
from services.ingest.settings import Settings

SERVICE = Service(
    name=bootstrap.SERVICE,
    settings=Settings,
    open_app=bootstrap.open_app,
    projections=bootstrap.projections,
    routers=bootstrap.ROUTERS,
    open_tasks=bootstrap.open_tasks,
)

app = command_line(SERVICE)
app.add_typer(
    quarantine_commands(lambda: bootstrap.open_command_deps(SERVICE.read_settings())),
    name="quarantine",
)
app.command("import")(
    ImportCommand(
        read_settings=SERVICE.read_settings,
        open_store=bootstrap.open_store,
        open_spreadsheet=bootstrap.open_spreadsheet,
        rebuild=lambda: rebuild_changed(SERVICE, bootstrap.SCAN_READ_MODELS),
    ).run
)

if __name__ == "__main__":
    app()
