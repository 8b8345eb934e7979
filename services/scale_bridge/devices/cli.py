"""`rotate-secrets` on a command line: the passwords of scales sealed with the newest key (R17)."""

from typing import Any, Final

import typer
from rich.console import Console

from libs.postgres.pool import acquire
from libs.process.database_command import run_command
from libs.process.service import Service
from libs.security.sealing import Seal
from services.scale_bridge.context import ApiContext
from services.scale_bridge.devices.handlers.secret import rotate
from services.scale_bridge.devices.read_models import device

ACTOR: Final = "command line"
UNREADABLE: Final = 1
"""Exit status: some passwords cannot be read."""


def add_rotate_secrets(app: typer.Typer, service: Service[Any]) -> None:
    """Add the command."""

    @app.command("rotate-secrets")
    def rotate_secrets() -> None:
        """Seal every scale's password with the first key; then the others may be dropped.

        Exits with 1 if some cannot be read: they must be entered anew.
        """
        run_command(service, _rotate)


async def _rotate(context: ApiContext) -> int:
    async with acquire(context.system) as connection:
        devices = await device.every(connection)
    newest = Seal(context.settings.sealing_keys[:1])
    rotated = await rotate(context, newest, devices, actor=ACTOR)
    console = Console()
    console.print(f"{rotated.sealed} sealed anew, {rotated.current} were already")
    for device_id in rotated.unreadable:
        console.print(f"the password of {device_id} cannot be read", markup=False)
    return UNREADABLE if rotated.unreadable else 0
