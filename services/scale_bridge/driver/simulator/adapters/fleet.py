"""Several simulated scales in one process, described by a TOML file or by numbers of each kind."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from services.scale_bridge.driver.simulator.adapters.products import open_base
from services.scale_bridge.driver.simulator.adapters.scale import Options
from services.scale_bridge.driver.simulator.adapters.server import Simulator, open_simulator
from services.scale_bridge.driver.simulator.adapters.transcript import Frame
from services.scale_bridge.driver.simulator.domain.faults import BadFault, parse_fault
from services.scale_bridge.driver.simulator.domain.goods import catalogue

ITEMS: Final = 60
MOST: Final = 1000
SLOW_SECONDS: Final = 0.5
DEAD: Final = "off"
LIAR: Final = "lie"


class BadFleet(ValueError):
    """The file does not describe a fleet; the message says why."""


class Member(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scale. With `port` 0 the system chooses; a new base has `items` products. Without a
    `serial` number the name is it.

    The port of a dead scale (fault `off`) stays reserved, so that no other program answers there.
    """

    # It becomes the name of files.
    name: Annotated[str, Meta(pattern=r"^[\w-]{1,80}\Z")]
    port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    items: Annotated[int, Meta(ge=0, le=100_000)] = ITEMS
    faults: tuple[str, ...] = ()
    serial: str = ""

    @property
    def dead(self) -> bool:
        """Whether its port is closed."""
        return DEAD in self.faults


def mixed(
    *, well: int, dead: int, slow: int, liars: int, items: int = ITEMS, first_port: int = 0
) -> list[Member]:
    """So many scales of each kind, on consecutive ports, or with 0 on ports the system chooses."""
    kinds = (
        ("well", well, ()),
        ("dead", dead, (DEAD,)),
        ("slow", slow, (f"slow:{SLOW_SECONDS:g}",)),
        ("liar", liars, (LIAR,)),
    )
    named = [(f"{kind}-{n}", faults) for kind, count, faults in kinds for n in range(1, count + 1)]
    return [
        Member(name=name, port=first_port + n if first_port else 0, items=items, faults=faults)
        for n, (name, faults) in enumerate(named)
    ]


class _File(Struct, forbid_unknown_fields=True):
    scales: Annotated[list[Member], Meta(min_length=1, max_length=MOST)]


def read_fleet(text: str) -> list[Member]:
    """Parse TOML: tables `[[scales]]` with the fields of `Member`. Raises BadFleet."""
    try:
        fleet = msgspec.toml.decode(text, type=_File).scales
        for fault in (fault for member in fleet for fault in member.faults):
            parse_fault(fault)
    except (msgspec.DecodeError, BadFault) as error:
        raise BadFleet(str(error)) from error
    if len({member.name for member in fleet}) < len(fleet):
        raise BadFleet("two scales have the same name")
    return fleet


@asynccontextmanager
async def open_fleet(
    members: Sequence[Member],
    *,
    bases: Path | None,
    host: str,
    on_frame: Callable[[Member, Frame], None] | None = None,
) -> AsyncIterator[list[Simulator]]:
    """All scales, running until the context ends.

    Product bases are files in the folder `bases`, by name. Raises ValueError, OSError.
    """
    async with AsyncExitStack() as stack:
        running = []
        for member in members:
            first = partial(catalogue, member.items)
            file = bases and bases / f"{member.name}.json"
            simulator = open_simulator(
                open_base(file, first, merge_by=member.merge_by),
                options=replace(member, serial=member.serial or member.name),
                faults=member.faults,
                host=host,
                port=member.port,
                on_frame=on_frame and partial(on_frame, member),
            )
            running.append(await stack.enter_async_context(simulator))
        yield running
