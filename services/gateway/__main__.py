"""`python -m services.gateway`: run and migrate the gateway, issue keys, manage accounts."""

from contextlib import AbstractAsyncContextManager

from contracts.gateway import EVENTS
from libs.process.commands import command_line
from libs.process.service import Connections, Service
from services.gateway import bootstrap
from services.gateway.administration.cli.commands import account_commands, add_create_admin
from services.gateway.api_keys.cli import key_commands
from services.gateway.context import Deps
from services.gateway.sessions.cli import add_rotate_signing_key
from services.gateway.settings import Settings

SERVICE = Service(
    name=bootstrap.SERVICE,
    settings=Settings,
    events=EVENTS,
    open_app=bootstrap.open_app,
    projections=bootstrap.projections,
    jobs=(bootstrap.delete_expired,),
    connections=Connections(tasks=1),
)


def open_deps() -> AbstractAsyncContextManager[Deps]:
    """The dependencies of the commands."""
    return bootstrap.open_deps(SERVICE.read_settings())


app = command_line(SERVICE)
add_create_admin(app, open_deps)
add_rotate_signing_key(app)
app.add_typer(key_commands(open_deps), name="keys")
app.add_typer(account_commands(open_deps), name="accounts")

if __name__ == "__main__":
    app()
