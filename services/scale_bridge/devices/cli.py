"""`rotate-secrets` on a command line: the passwords of scales sealed with the newest key (R17)."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

import typer
from rich.console import Console

from libs.errors import Unavailable
from libs.postgres.pool import acquire
from libs.security.sealing import Seal
from services.scale_bridge.context import Context
from services.scale_bridge.devices.handlers.secret import Rotated, rotate
from services.scale_bridge.devices.read_models import device

if TYPE_CHECKING:
    from services.scale_bridge.settings import Settings

ACTOR: Final = "command line"
UNREADABLE: Final = 1
"""Exit status: some passwords cannot be read."""


def add_rotate_secrets(
    app: typer.Typer,
    read_settings: Callable[[], "Settings"],
    open_context: Callable[["Settings"], AbstractAsyncContextManager[Context]],
) -> None:
    """Add the command."""

    @app.command("rotate-secrets")
    def rotate_secrets() -> None:
        """Seal every scale's password with the first key; then the others may be dropped.

        Exits with 1 if some cannot be read: they must be entered anew.
        """
        settings = read_settings()
        try:
            rotated = asyncio.run(_rotate(settings, open_context))
        except Unavailable as error:
            raise typer.BadParameter(str(error)) from error
        console = Console()
        console.print(f"{rotated.sealed} sealed anew, {rotated.current} were already")
        for device_id in rotated.unreadable:
            console.print(f"the password of {device_id} cannot be read", markup=False)
        raise typer.Exit(UNREADABLE if rotated.unreadable else 0)


async def _rotate(
    settings: "Settings", open_context: Callable[["Settings"], AbstractAsyncContextManager[Context]]
) -> Rotated:
    async with open_context(settings) as context:
        async with acquire(context.system) as connection:
            devices = await device.every(connection)
        newest = Seal(settings.sealing_keys[:1])
        return await rotate(context, newest, devices, actor=ACTOR)
