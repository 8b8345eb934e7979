"""`python -m services.gateway`: run it, migrate it, give out keys, let somebody in."""

import asyncio
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Column, Table

from contracts.gateway import KeyId
from libs.clock import utc_now
from libs.errors import Refused, Unavailable
from libs.process.commands import Service, command_line
from services.gateway import bootstrap
from services.gateway.api.account_commands import account_commands, add_create_admin
from services.gateway.api.signing_key_command import add_rotate_signing_key
from services.gateway.settings import Settings

SERVICE = Service(
    name=bootstrap.SERVICE,
    settings=Settings,
    open_app=bootstrap.open_app,
    projections=bootstrap.projections,
    open_tasks=bootstrap.open_tasks,
)
ACTOR = "command line"

app = command_line(SERVICE)
keys = typer.Typer(no_args_is_help=True, help="API keys: give out, list, revoke.")
app.add_typer(keys, name="keys")
add_create_admin(app, lambda: bootstrap.open_deps(SERVICE.read_settings()))
add_rotate_signing_key(app)
app.add_typer(
    account_commands(lambda: bootstrap.open_deps(SERVICE.read_settings())), name="accounts"
)

Tenant = Annotated[str, typer.Option(help="Whose data the key opens.")]


@keys.command()
def issue(
    name: Annotated[str, typer.Argument(help="What people will recognise the key by.")],
    scope: Annotated[list[str], typer.Option(help="What it may do, for example scan:write.")],
    tenant: Tenant = "demo",
    expires_days: Annotated[
        float | None, typer.Option(min=0.001, max=36_500, help="Else until it is revoked.")
    ] = None,
    per_minute: Annotated[
        int | None, typer.Option(min=1, help="Requests, beside the limits of the doors.")
    ] = None,
) -> None:
    """Give out a key. It is shown once; only its hash is kept."""
    settings = SERVICE.read_settings()
    work = bootstrap.issue_key(
        settings,
        tenant=tenant,
        name=name,
        scopes=scope,
        actor=ACTOR,
        expires_at=utc_now() + timedelta(days=expires_days) if expires_days else None,
        requests_per_minute=per_minute,
    )
    try:
        made = asyncio.run(work)
    except (Refused, Unavailable) as error:
        raise typer.BadParameter(str(error)) from error
    Console().print(f"key id  {made.key_id}\nkey     {made.key}", markup=False, highlight=False)


@keys.command()
def revoke(
    key_id: Annotated[UUID, typer.Argument(help="As `keys list` shows it.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "revoked by hand",
    tenant: Tenant = "demo",
) -> None:
    """Take a key back. Doors hear of it within seconds, services when its token runs out."""
    settings = SERVICE.read_settings()
    work = bootstrap.revoke_key(
        settings, tenant=tenant, key_id=KeyId(key_id), reason=reason, actor=ACTOR
    )
    try:
        asyncio.run(work)
    except (Refused, Unavailable) as error:
        raise typer.BadParameter(str(error)) from error


@keys.command("list")
def list_keys(tenant: Tenant = "demo") -> None:
    """Show a tenant's keys, the revoked ones too."""
    settings = SERVICE.read_settings()
    listed = asyncio.run(bootstrap.list_keys(settings, tenant=tenant))
    used = asyncio.run(bootstrap.last_uses(settings, tenant=tenant))
    # Ids are to be copied, so they may break over lines but are never cut.
    whole = Column("key id", overflow="fold")
    table = Table(whole, "name", "begins with", "scopes", "last used", "expires", "revoked")
    for key in listed:
        moments = (used.get(key.key_id), key.expires_at, key.revoked_at)
        texts = [f"{moment:%Y-%m-%d %H:%M}" if moment else "" for moment in moments]
        table.add_row(str(key.key_id), key.name, key.prefix, " ".join(key.scopes), *texts)
    Console().print(table)


if __name__ == "__main__":
    app()
