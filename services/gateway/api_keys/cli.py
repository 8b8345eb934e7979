"""The commands `keys issue | revoke | list`, which work on the database directly."""

from datetime import timedelta
from typing import Annotated, Final
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Column, Table

from contracts.gateway import KeyId
from libs.clock import utc_now
from libs.process.database_command import run_command
from libs.process.service import Service
from services.gateway.api_keys import handlers as keys
from services.gateway.api_keys.read_models import keys_of
from services.gateway.api_keys.stores.key_uses import last_uses
from services.gateway.context import Deps
from services.gateway.settings import Settings

ACTOR: Final = "command line"
Tenant = Annotated[str, typer.Option(help="Whose data the key opens.")]


def key_commands(service: Service[Settings]) -> typer.Typer:
    """The commands `keys issue | revoke | list`."""
    app = typer.Typer(no_args_is_help=True, help="API keys: give out, list, revoke.")
    _add_issue(app, service)
    _add_revoke(app, service)
    _add_list(app, service)
    return app


def _add_issue(app: typer.Typer, service: Service[Settings]) -> None:
    @app.command()
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
        """Give out a key, which opens doors within moments. It is shown once; only its hash is
        stored."""

        async def run(deps: Deps) -> None:
            issued = await keys.issue(
                deps.store,
                tenant=tenant,
                name=name,
                scopes=scope,
                actor=ACTOR,
                expires_at=utc_now() + timedelta(days=expires_days) if expires_days else None,
                requests_per_minute=per_minute,
            )
            text = f"key id  {issued.key_id}\nkey     {issued.key}"
            Console().print(text, markup=False, highlight=False)

        run_command(service, run)


def _add_revoke(app: typer.Typer, service: Service[Settings]) -> None:
    @app.command()
    def revoke(
        key_id: Annotated[UUID, typer.Argument(help="As `keys list` shows it.")],
        reason: Annotated[str, typer.Option(help="Why, for the record.")] = "revoked by hand",
        tenant: Tenant = "demo",
    ) -> None:
        """Take a key back. Doors refuse it within seconds, services when its token runs out."""
        run_command(
            service,
            lambda deps: keys.revoke(
                deps.store, tenant=tenant, key_id=KeyId(key_id), reason=reason, actor=ACTOR
            ),
        )


def _add_list(app: typer.Typer, service: Service[Settings]) -> None:
    @app.command("list")
    def list_keys(tenant: Tenant = "demo") -> None:
        """Show a tenant's keys, the revoked ones too."""
        run_command(service, lambda deps: _list(deps, tenant))


async def _list(deps: Deps, tenant: str) -> None:
    used = await last_uses(deps.system, tenant)
    # Ids are for copying: they wrap and are never cut.
    key_id = Column("key id", overflow="fold")
    table = Table(key_id, "name", "begins with", "scopes", "last used", "expires", "revoked")
    for key in await keys_of(deps.system, tenant):
        moments = (used.get(key.key_id), key.expires_at, key.revoked_at)
        texts = [f"{moment:%Y-%m-%d %H:%M}" if moment else "" for moment in moments]
        table.add_row(str(key.key_id), key.name, key.prefix, " ".join(key.scopes), *texts)
    Console().print(table)
