"""The command `rotate-signing-key`."""

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from services.gateway.sessions.adapters.key_file import KeyFileUnfit, rotate

KEY_FILE: Final = "GATEWAY_SIGNING_KEY_FILE"


def add_rotate_signing_key(app: typer.Typer) -> None:
    """Add the command. It needs neither the database nor other settings."""

    @app.command("rotate-signing-key")
    def rotate_signing_key(
        file: Annotated[Path, typer.Option(envvar=KEY_FILE, help="PEM, the first key signs.")],
        keep: Annotated[
            int, typer.Option(min=0, max=10, help="So many older keys still verify.")
        ] = 1,
    ) -> None:
        """Put a new signing key in front of the file, then restart the gateway.

        Tokens of the key before stay good. Rotate again only when the longest of them has run out,
        or keep more; with none kept, everybody's tokens end at the restart.
        """
        try:
            ring = rotate(file, keep=keep)
        except KeyFileUnfit as refused:
            Console(stderr=True).print(str(refused), markup=False)
            raise typer.Exit(1) from refused
        older = "".join(f"\nverifies  {key.kid}" for key in ring.older)
        Console().print(f"signs     {ring.current.kid}{older}", markup=False, highlight=False)
