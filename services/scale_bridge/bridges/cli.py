"""`bridge` on a command line: the daemon that speaks to the scales on a shop's network (SCL-11)."""

import asyncio
import random
import socket
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from libs.clock import utc_now
from libs.http.client import open_client
from libs.process.lifecycle import main, run_until_signal
from libs.telemetry import logs
from services.scale_bridge.bridges.adapters.identity import (
    InUse,
    NotEnrolled,
    home_of,
    read_identity,
)
from services.scale_bridge.bridges.adapters.login import GatewayAway, NotLetIn
from services.scale_bridge.bridges.api.enrolment import STORE, enrol, gateway_of
from services.scale_bridge.bridges.domain import PROGRAM
from services.scale_bridge.bridges.handlers.execution import AgentTools, carrying_out
from services.scale_bridge.bridges.handlers.gateway_client import GatewayClient, run
from services.scale_bridge.bridges.handlers.runner import Runner
from services.scale_bridge.bridges.stores.store import open_bridge_store
from services.scale_bridge.driver.adapters.driver import open_driver
from services.scale_bridge.driver.domain.address import PRIVATE, Policy, parse_networks, parse_ports
from services.scale_bridge.transfer.domain.breaker import BreakerRules
from services.scale_bridge.transfer.handlers.device_task import ExecutionContext
from services.scale_bridge.transfer.stores.local import LocalBreakers, LocalLeases, LocalRateLimits
from services.scale_bridge.transfer.stores.rate_limits import CONNECTION_SECONDS

CANNOT: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class BridgeOptions:
    """What was asked for on the command line."""

    gateway: str | None
    state: Path
    name: str
    enrol: bool
    policy: Policy
    lines: int
    connection_seconds: float = CONNECTION_SECONDS


def add_bridge(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def bridge(
        state: Annotated[
            Path,
            typer.Option(
                help="Where it keeps its key and its work; its owner's only.",
                envvar="SCALE_BRIDGE_STATE",
            ),
        ],
        gateway: Annotated[
            str | None,
            typer.Option(
                help="The platform's address, https://…; needed to enrol.",
                envvar="SCALE_BRIDGE_GATEWAY",
            ),
        ] = None,
        enrol_first: Annotated[
            bool, typer.Option("--enrol", help="Ask to be let in first, by a code to be typed.")
        ] = False,
        name: Annotated[
            str, typer.Option(help="What people call it.", envvar="SCALE_BRIDGE_NAME")
        ] = "",
        networks: Annotated[
            str, typer.Option(help="Where scales may be, as 192.168.1.0/24; private ones if empty.")
        ] = "",
        ports: Annotated[str, typer.Option(help="As 1111,2000-2010; any if empty.")] = "",
        names: Annotated[
            bool, typer.Option("--names", help="Scales may be given by names.")
        ] = False,
        loopback: Annotated[
            bool, typer.Option("--loopback", help="Scales may be on this very machine.")
        ] = False,
        lines: Annotated[int, typer.Option(help="Scales spoken to at once.", min=1, max=256)] = 32,
        log_level: Annotated[str, typer.Option(envvar="LOG_LEVEL")] = "INFO",
    ) -> None:
        """Drive the scales of a shop for the platform, from inside the shop's network.

        It only connects outwards, to the gateway. What it was given to do it does
        whatever becomes of the line, and tells when there is one again.
        """
        options = BridgeOptions(
            gateway=None if gateway is None else gateway_of(gateway),
            state=state,
            name=name or socket.gethostname(),
            enrol=enrol_first,
            policy=_policy(networks, ports, names=names, loopback=loopback),
            lines=lines,
        )
        logs.set_up("scale_bridge", log_level)
        raise typer.Exit(_carry_out(options, Console()))


def _carry_out(options: BridgeOptions, console: Console) -> int:
    try:
        with home_of(options.state):
            return main(_bridge(options, console))
    except InUse:
        said = "another daemon runs in this directory"
    except NotEnrolled:
        said = "it is not enrolled; start it once with --enrol and --gateway"
    except NotLetIn as no:
        said = f"it was not let in ({no.code})"
    except GatewayAway as away:
        said = f"the gateway {away}"
    except (OSError, sqlite3.Error) as error:
        said = getattr(error, "strerror", None) or f"its state cannot be used ({error})"
    console.print(f"The bridge cannot start: {said}.", markup=False)
    return CANNOT


async def _bridge(options: BridgeOptions, console: Console) -> int:
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
async def open_runner(options: BridgeOptions) -> AsyncIterator[Runner]:
    """The daemon's runner with its driver and its memory. Raises OSError, sqlite3.Error."""
    async with (
        open_driver(connections=options.lines) as driver,
        open_bridge_store(options.state / STORE, time.time) as store,
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
        yield Runner(store=store, carry_out=carrying_out(tools), now=time.time, lines=options.lines)


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
