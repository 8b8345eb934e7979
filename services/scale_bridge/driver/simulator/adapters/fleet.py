"""Several simulated scales in one process, described by a TOML file or by numbers of each kind."""

import re
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

from services.scale_bridge.driver.simulator.adapters.products import open_base
from services.scale_bridge.driver.simulator.adapters.scale import DEFAULT_PASSWORD, Options
from services.scale_bridge.driver.simulator.adapters.server import Simulator, open_simulator
from services.scale_bridge.driver.simulator.domain.faults import BadFault, parse_fault
from services.scale_bridge.driver.simulator.domain.goods import catalogue

ITEMS: Final = 60
MOST: Final = 1000
SLOW_SECONDS: Final = 0.5
_NAME: Final = re.compile(r"[\w-]{1,80}")
DEAD: Final = "off"
LIAR: Final = "lie"


class BadFleet(ValueError):
    """The file does not describe a fleet; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One scale. With `port` 0 the system chooses; a new base has `items` products.

    The port of a dead scale (fault `off`) stays reserved, so that no other program answers there.
    """

    name: str
    port: int = 0
    items: int = ITEMS
    password: str = DEFAULT_PASSWORD
    faults: tuple[str, ...] = ()

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


def read_fleet(text: str) -> list[Member]:
    """Parse TOML: tables `[[scales]]` with the fields of `Member`. Raises BadFleet."""
    try:
        tables = tomllib.loads(text).get("scales")
    except tomllib.TOMLDecodeError as error:
        raise BadFleet(f"the file is no TOML: {error}") from error
    if not isinstance(tables, list) or not 0 < len(tables) <= MOST:
        raise BadFleet(f"the file must have from 1 to {MOST} tables [[scales]]")
    fleet = [_member(table, n) for n, table in enumerate(tables, 1)]
    if len({member.name for member in fleet}) < len(fleet):
        raise BadFleet("two scales have the same name")
    return fleet


@asynccontextmanager
async def open_fleet(
    members: Sequence[Member], *, bases: Path | None, host: str
) -> AsyncIterator[list[Simulator]]:
    """All scales, running until the context ends.

    Product bases are files in the folder `bases`, by name. Raises ValueError, OSError.
    """
    async with AsyncExitStack() as stack:
        running = []
        for member in members:
            first = partial(catalogue, member.items)
            base = open_base(bases and bases / f"{member.name}.json", first)
            options = Options(password=member.password, serial=member.name)
            simulator = open_simulator(
                base, options=options, faults=member.faults, host=host, port=member.port
            )
            running.append(await stack.enter_async_context(simulator))
        yield running


def _member(table: object, number: int) -> Member:
    if not isinstance(table, Mapping):
        raise BadFleet(f"scale {number} is no table")
    known = {field.name for field in fields(Member)}
    if unknown := sorted(set(table) - known):
        raise BadFleet(f"scale {number} has {unknown[0]!r}, which is none of {sorted(known)}")
    try:
        given = {**table, "faults": tuple(table.get("faults", ()))}
        for fault in given["faults"]:
            parse_fault(fault)
        if wrong := _wrong(given):
            raise BadFleet(f"scale {number}: {wrong}")
        return Member(**given)
    except (TypeError, BadFault) as error:
        raise BadFleet(f"scale {number}: {error}") from error


def _wrong(given: Mapping[str, Any]) -> str | None:
    """The flaw of a table, None if there is none. The name becomes the name of a file."""
    name, password = given.get("name"), given.get("password", DEFAULT_PASSWORD)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "a name has letters, digits, - and _"
    for key, most in (("port", 65_535), ("items", 100_000)):
        value = given.get(key, 0)
        if not isinstance(value, int) or not 0 <= value <= most:
            return f"{key} must be a number from 0 to {most}"
    if not isinstance(password, str) or not password.isascii() or len(password) != 4:
        return "a password has 4 characters"
    return None
