"""`python -m services.gateway`: run and migrate the gateway, issue keys, manage accounts."""

from libs.process.commands import command_line
from services.gateway.administration.cli.commands import account_commands, add_create_admin
from services.gateway.api_keys.cli import key_commands
from services.gateway.bootstrap import SERVICE
from services.gateway.sessions.cli import add_rotate_signing_key

app = command_line(SERVICE)
add_create_admin(app, SERVICE)
add_rotate_signing_key(app)
app.add_typer(key_commands(SERVICE), name="keys")
app.add_typer(account_commands(SERVICE), name="accounts")

if __name__ == "__main__":
    app()
