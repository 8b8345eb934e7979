"""`python -m services.ingest`: run, migrate and maintain it; quarantine and imports."""

from libs.process.commands import command_line
from libs.process.maintenance import rebuild_changed
from libs.process.service import open_command_context
from services.ingest.bootstrap import SCAN_READ_MODELS, SERVICE
from services.ingest.imports.adapters.spreadsheet import open_spreadsheet
from services.ingest.imports.cli.commands import ImportCommand
from services.ingest.quarantine.cli import quarantine_commands

app = command_line(SERVICE)
app.add_typer(quarantine_commands(lambda: open_command_context(SERVICE)), name="quarantine")
app.command("import")(
    ImportCommand(
        read_settings=SERVICE.read_settings,
        open_store=SERVICE.open_store,
        open_spreadsheet=open_spreadsheet,
        rebuild=lambda: rebuild_changed(SERVICE, SCAN_READ_MODELS),
    ).run
)

if __name__ == "__main__":
    app()
