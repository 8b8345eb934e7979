"""The commands `create-admin` and `accounts …`.

They work on the database directly, so that they work before anybody can log in. Exit codes: 0 done,
1 refused (the reason is printed), 2 wrong usage.
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from libs.process.database_command import run_command
from libs.process.service import Service
from services.gateway.accounts.domain.person import Person
from services.gateway.accounts.domain.realm import PLATFORM, SUPERADMIN, Realm, Role, Workspace
from services.gateway.administration.cli import actions
from services.gateway.settings import Settings

PASSWORD_FILE: Final = "GATEWAY_ADMIN_PASSWORD_FILE"  # noqa: S105 -- the name of a variable

Who = Annotated[str, typer.Argument(help="An id, a number, an e-mail address or a user name.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value, for scripts.")]


def add_create_admin(app: typer.Typer, service: Service[Settings]) -> None:
    """Add the command that opens the first administrator's account."""

    @app.command("create-admin")
    def create_admin(
        email: Annotated[str, typer.Option(prompt="E-mail")],
        username: Annotated[str | None, typer.Option(help="For doors that log in by it.")] = None,
        password_file: Annotated[
            Path | None,
            typer.Option(envvar=PASSWORD_FILE, help="Else it is asked for, or read from input."),
        ] = None,
        realm: Annotated[Realm, typer.Option(help="Where they administrate.")] = Realm.PLATFORM,
        tenant: Annotated[str, typer.Option(help="The tenant of the account.")] = PLATFORM,
        role: Annotated[str, typer.Option(help="The role of the account.")] = SUPERADMIN,
    ) -> None:
        """Make an account that may make others."""
        person = Person(email=email, username=username)
        first_role = Role(Workspace(realm.value, tenant), role)
        password = _password(password_file)
        run_command(service, lambda deps: actions.create(deps, person, password, first_role))


def account_commands(service: Service[Settings]) -> typer.Typer:
    """The commands `accounts …`. Each opens a `Deps` of its own."""
    app = typer.Typer(no_args_is_help=True, help="Accounts: see them, take them out and back in.")
    _add_list(app, service)
    _add_show(app, service)
    _add_status_changes(app, service)
    _add_reset_password(app, service)
    return app


def _add_list(app: typer.Typer, service: Service[Settings]) -> None:
    @app.command("list")
    def list_accounts(
        realm: Annotated[
            Realm | None, typer.Option(help="Only accounts with a role in this realm.")
        ] = None,
        tenant: Annotated[str, typer.Option(help="The tenant, if a realm is given.")] = "demo",
        limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
        offset: Annotated[int, typer.Option(min=0)] = 0,
        as_json: AsJson = False,
    ) -> None:
        """Show accounts in the order they were opened. New ones appear within moments."""
        workspace = Workspace(realm.value, tenant) if realm else None
        run_command(
            service, lambda deps: actions.list_accounts(deps, workspace, limit, offset, as_json)
        )


def _add_show(app: typer.Typer, service: Service[Settings]) -> None:
    @app.command()
    def show(who: Who, as_json: AsJson = False) -> None:
        """Show one account, with its roles and where it is logged in."""
        run_command(service, lambda deps: actions.show(deps, who, as_json))


def _add_status_changes(app: typer.Typer, service: Service[Settings]) -> None:
    @app.command()
    def activate(who: Who) -> None:
        """Let an account open again what its roles allow."""
        run_command(service, lambda deps: actions.activate(deps, who))

    @app.command()
    def deactivate(
        who: Who,
        reason: Annotated[str, typer.Option(help="Why, for the record.")] = "by hand",
    ) -> None:
        """Let an account open nothing, and end its sessions."""
        run_command(service, lambda deps: actions.deactivate(deps, who, reason))


def _add_reset_password(app: typer.Typer, service: Service[Settings]) -> None:
    @app.command("reset-password")
    def reset_password(
        who: Who,
        password_file: Annotated[
            Path | None, typer.Option(help="Else it is asked for, or read from input.")
        ] = None,
    ) -> None:
        """Give an account another password, and end its sessions."""
        password = _password(password_file)
        run_command(service, lambda deps: actions.reset_password(deps, who, password))


def _password(file: Path | None) -> str:
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise typer.BadParameter(f"cannot read it ({type(error).__name__})") from error
    stdin = typer.get_text_stream("stdin")
    if not stdin.isatty():
        return stdin.readline().rstrip("\r\n")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password
