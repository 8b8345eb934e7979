"""`python -m services.ingest`: run it, migrate it, mend its read models."""

from libs.process.commands import Service, command_line
from services.ingest.bootstrap import SERVICE, open_app, projections
from services.ingest.settings import Settings

app = command_line(
    Service(name=SERVICE, settings=Settings, open_app=open_app, projections=projections)
)

if __name__ == "__main__":
    app()
