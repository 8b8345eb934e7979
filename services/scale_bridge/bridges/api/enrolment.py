"""Enrolling a bridge: somebody who may do so types the code that it shows (RFC 8628)."""

import asyncio
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import typer
from rich.console import Console
from rich.panel import Panel

from libs.security.sealed_box import generate_private
from services.scale_bridge.bridges.adapters import login as bridge_login
from services.scale_bridge.bridges.adapters.identity import Identity, write_identity

STORE: Final = "operations.sqlite3"


def gateway_of(given: str) -> str:
    """The address as it was given. Secrets go there: in the open only on this very machine."""
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if not host or parts.query or parts.fragment or parts.username is not None:
        raise typer.BadParameter("is written like https://shop.example", param_hint="--gateway")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(host)):
        raise typer.BadParameter("must begin with https://", param_hint="--gateway")
    return given.rstrip("/")


async def enrol(
    gateway: str, state: Path, name: str, client: aiohttp.ClientSession, console: Console
) -> None:
    """Ask to be let in, show the code, wait, and keep who one is from then on.

    Raises NotLetIn, GatewayAway, OSError.
    """
    codes = await bridge_login.ask(client, gateway, name)
    console.print(
        Panel(
            f"Open [bold]{codes.page}[/] and type\n\n    [bold]{codes.user_code}[/]\n\n"
            f"or open {codes.page_with_code}",
            title="Let this bridge in",
            expand=False,
        ),
        soft_wrap=True,
    )
    tokens = await bridge_login.collect(client, gateway, codes, asyncio.sleep)
    identity = Identity(
        gateway=gateway, private_key=generate_private(), refresh_token=tokens.refresh
    )
    _forget(state)
    write_identity(state, identity)
    console.print("It is in.")


def _forget(state: Path) -> None:
    """What it had under another identity it can neither open nor tell any more."""
    for file in state.glob(f"{STORE}*"):
        file.unlink()


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
