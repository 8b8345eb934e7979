"""The command `bridge`: the agent that drives the scales on a shop's network (SCL-11).

It is enrolled once: a person who may write scales types the code it shows (RFC 8628).
"""

import asyncio
import random
import socket
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import aiohttp
import typer
from rich.console import Console
from rich.panel import Panel

from libs.clock import utc_now
from libs.http.client import open_client
from libs.process.lifecycle import main, run_until_signal
from libs.security.sealed_box import generate_private
from libs.telemetry import logs
from services.scale_bridge.bridges.adapters import login
from services.scale_bridge.bridges.adapters.identity import (
    Identity,
    InUse,
    NotEnrolled,
    home_of,
    read_identity,
    write_identity,
)
from services.scale_bridge.bridges.adapters.login import GatewayUnavailable, NotAuthorized
from services.scale_bridge.bridges.domain import PROGRAM
from services.scale_bridge.bridges.handlers.execution import AgentTools, task_handler
from services.scale_bridge.bridges.handlers.gateway_client import GatewayClient, run
from services.scale_bridge.bridges.handlers.runner import Runner
from services.scale_bridge.bridges.stores.agent_store import open_agent_store
from services.scale_bridge.driver.adapters.driver import open_driver
from services.scale_bridge.driver.domain.address import PRIVATE, Policy, parse_networks, parse_ports
from services.scale_bridge.transfer.domain.breaker import BreakerRules
from services.scale_bridge.transfer.handlers.device_task import ExecutionContext
from services.scale_bridge.transfer.stores.breakers import LocalBreakers
from services.scale_bridge.transfer.stores.local import LocalLeases, LocalRateLimits
from services.scale_bridge.transfer.stores.rate_limits import CONNECTION_SECONDS

CANNOT: Final = 1


STORE: Final = "operations.sqlite3"

State = Annotated[
    Path,
    typer.Option(
        help="Directory of the agent's key and its tasks, for its owner only.",
        envvar="SCALE_BRIDGE_STATE",
    ),
]
Gateway = Annotated[
    str | None,
    typer.Option(
        help="Address of the gateway, https://…; needed to enrol.", envvar="SCALE_BRIDGE_GATEWAY"
    ),
]
Enrol = Annotated[
    bool, typer.Option("--enrol", help="Enrol first: a person types the code that is shown.")
]
Name = Annotated[
    str, typer.Option(help="Name of the agent for people.", envvar="SCALE_BRIDGE_NAME")
]
Networks = Annotated[
    str, typer.Option(help="Networks of the scales, as 192.168.1.0/24; private ones if empty.")
]
Ports = Annotated[str, typer.Option(help="Ports of the scales, as 1111,2000-2010; any if empty.")]
Names = Annotated[bool, typer.Option("--names", help="Scales may be given by host names.")]
Loopback = Annotated[bool, typer.Option("--loopback", help="Scales may be on this machine.")]
Lines = Annotated[int, typer.Option(help="Scales connected to at once.", min=1, max=256)]
LogLevel = Annotated[str, typer.Option(envvar="LOG_LEVEL")]


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentOptions:
    """The options of the command. With `enrol` the agent is enrolled first."""

    gateway: str | None
    state: Path
    name: str
    enrol: bool
    policy: Policy
    lines: int
    connection_seconds: float = CONNECTION_SECONDS


def add_bridge(app: typer.Typer) -> None:
    """Add the command `bridge`."""

    @app.command()
    def bridge(
        state: State,
        gateway: Gateway = None,
        enrol_first: Enrol = False,
        name: Name = "",
        networks: Networks = "",
        ports: Ports = "",
        names: Names = False,
        loopback: Loopback = False,
        lines: Lines = 32,
        log_level: LogLevel = "INFO",
    ) -> None:
        """Drive the scales of a shop for the service, from inside the shop's network.

        The agent only connects outwards, to the gateway. It executes stored tasks while it is
        disconnected, and reports them when it is connected again.
        """
        options = AgentOptions(
            gateway=None if gateway is None else gateway_of(gateway),
            state=state,
            name=name or socket.gethostname(),
            enrol=enrol_first,
            policy=_policy(networks, ports, names=names, loopback=loopback),
            lines=lines,
        )
        logs.set_up("scale_bridge", log_level)
        raise typer.Exit(_run_agent(options, Console()))


def _run_agent(options: AgentOptions, console: Console) -> int:
    try:
        with home_of(options.state):
            return main(_enrol_and_run(options, console))
    except InUse:
        reason = "another agent runs in this directory"
    except NotEnrolled:
        reason = "it is not enrolled; start it once with --enrol and --gateway"
    except NotAuthorized as error:
        reason = f"it was not let in ({error.code})"
    except GatewayUnavailable as error:
        reason = f"the gateway {error}"
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or f"its state cannot be used ({error})"
    console.print(f"The bridge cannot start: {reason}.", markup=False)
    return CANNOT


async def _enrol_and_run(options: AgentOptions, console: Console) -> int:
    async with open_client() as client:
        if options.enrol:
            if options.gateway is None:
                raise typer.BadParameter("is needed to enrol", param_hint="--gateway")
            await enrol(options.gateway, options.state, options.name, client, console)
        identity = read_identity(options.state)
        console.print(
            f"bridge “{options.name}” of {identity.gateway}, its state in {options.state}",
            markup=False,
            highlight=False,
        )
        async with open_runner(options) as runner:
            gateway = GatewayClient(
                home=options.state,
                client=client,
                program=PROGRAM,
                name=options.name,
                chance=random.random,
            )
            return await run_until_signal(partial(_until_stopped, runner, gateway))


@asynccontextmanager
async def open_runner(options: AgentOptions) -> AsyncIterator[Runner]:
    """The agent's runner with its driver and its database. Raises OSError, sqlite3.Error."""
    async with (
        open_driver(connections=options.lines) as driver,
        open_agent_store(options.state / STORE, time.time) as store,
    ):
        execution = ExecutionContext(
            driver=driver,
            leases=LocalLeases(),
            breakers=LocalBreakers(BreakerRules(), utc_now),
            rate_limits=LocalRateLimits(options.connection_seconds, time.monotonic),
            policy=options.policy,
            holder="bridge",
            chance=random.random,
        )
        tools = AgentTools(
            execution=execution,
            private_key=lambda: read_identity(options.state).private_key,
            now=time.time,
        )
        yield Runner(store=store, handle=task_handler(tools), now=time.time, lines=options.lines)


async def _until_stopped(runner: Runner, gateway: GatewayClient, stop: asyncio.Event) -> None:
    running = asyncio.create_task(run(runner, gateway))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        running.cancel()
        stopping.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)


def _policy(networks: str, ports: str, *, names: bool, loopback: bool) -> Policy:
    try:
        return Policy(
            networks=parse_networks(networks) or PRIVATE,
            ports=parse_ports(ports) or Policy().ports,
            names=names,
            special=loopback,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--networks, --ports") from error


def gateway_of(given: str) -> str:
    """The address without a slash at its end: https, or http on loopback, as secrets go there.

    Raises typer.BadParameter.
    """
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if not host or parts.query or parts.fragment or parts.username is not None:
        raise typer.BadParameter("is written like https://shop.example", param_hint="--gateway")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise typer.BadParameter("must begin with https://", param_hint="--gateway")
    return given.rstrip("/")


async def enrol(
    gateway: str, state: Path, name: str, client: aiohttp.ClientSession, console: Console
) -> None:
    """Show a code, wait until a person has typed it at the gateway, and store the new identity.

    Raises NotAuthorized, GatewayUnavailable, OSError.
    """
    codes = await login.request_codes(client, gateway, name)
    console.print(
        Panel(
            f"Open [bold]{codes.page}[/] and type\n\n    [bold]{codes.user_code}[/]\n\n"
            f"or open {codes.page_with_code}",
            title="Let this bridge in",
            expand=False,
        ),
        soft_wrap=True,
    )
    tokens = await login.poll_tokens(client, gateway, codes, asyncio.sleep)
    identity = Identity(
        gateway=gateway, private_key=generate_private(), refresh_token=tokens.refresh
    )
    _delete_store(state)
    write_identity(state, identity)
    console.print("It is in.")


def _delete_store(state: Path) -> None:
    """Delete the tasks of an earlier identity, which cannot be decrypted or reported any more."""
    for file in state.glob(f"{STORE}*"):
        file.unlink()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
