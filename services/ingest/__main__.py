"""`python -m services.ingest`: run, migrate and maintain it; quarantine and imports."""

from libs.process.commands import command_line
from services.ingest.bootstrap import SERVICE
from services.ingest.imports.cli.commands import import_command
from services.ingest.quarantine.cli import quarantine_commands

app = command_line(SERVICE)
app.add_typer(quarantine_commands(SERVICE), name="quarantine")
app.command("import")(import_command(SERVICE))

if __name__ == "__main__":
    app()
