"""The demo's label scales: which there are, the program that simulates them, what each shows."""

import json
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from deploy.local import ports
from deploy.local.child import Program
from deploy.local.files import write_whole
from deploy.local.settings import ROOT

Kind: TypeAlias = Literal["well", "slow", "dead", "liar"]

PROGRAM: Final = "fleet"
ITEMS: Final = 60
PASSWORD: Final = "1234"  # noqa: S105 -- the vendor's, known to everybody
WELL: Final[tuple[Kind, ...]] = ("well",) * 7
KINDS: Final[tuple[Kind, ...]] = (*WELL, "dead", "slow", "liar")
FAULTS: Final[Mapping[Kind, list[str]]] = {
    "well": [],
    "slow": ["slow:0.25"],
    "dead": ["off"],
    "liar": ["lie"],
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """A simulated scale. A dead one does not listen at its port."""

    name: str
    port: int
    kind: Kind


def new_fleet(home: Path) -> list[Scale]:
    """The ten scales of this installation, on the ports they had last time if those are free.

    Writes the file the program reads.
    """
    scales = [
        _scale(f"scale-{n:02}" + ("" if kind == "well" else f"-{kind}"), kind, home)
        for n, kind in enumerate(KINDS, 1)
    ]
    write_whole(_file(home), "\n".join(map(_table, scales)))
    return scales


def running_fleet(home: Path) -> list[Scale]:
    """The scales of the file, for programs that join later. Raises OSError without the file."""
    kinds = {tuple(faults): kind for kind, faults in FAULTS.items()}
    return [
        Scale(name=table["name"], port=table["port"], kind=kinds[tuple(table["faults"])])
        for table in tomllib.loads(_file(home).read_text())["scales"]
    ]


def fleet_program(home: Path, scales: list[Scale]) -> Program:
    """Run all scales in one process; their product bases are stored."""
    port = next(scale.port for scale in scales if scale.kind == "well")
    folder = _file(home).parent
    return Program(
        name=PROGRAM,
        command=(
            *(sys.executable, "-m", "services.scale_bridge.driver.simulator.cli.fleet"),
            *(str(_file(home)), "--bases", str(folder)),
        ),
        log_file=home / "logs" / f"{PROGRAM}.log",
        ready=lambda: ports.answers(port),
        pulse=lambda: ports.pulse(port),
        cwd=ROOT,
        port=port,
        is_service=True,
    )


def shown_by(home: Path, scale: Scale, plu: int) -> float | None:
    """The price in the scale's own product base, whatever anybody says of it."""
    file = _file(home).parent / f"{scale.name}.json"
    if not file.exists():
        return None
    products: list[dict[str, Any]] = json.loads(file.read_bytes())["products"]
    return next((item["price"] for item in products if item["pluNumber"] == plu), None)


def _scale(name: str, kind: Kind, home: Path) -> Scale:
    return Scale(name=name, port=ports.remembered_port(home, name), kind=kind)


def _file(home: Path) -> Path:
    return home / "scales" / "fleet.toml"


def _table(scale: Scale) -> str:
    options = {
        "name": scale.name,
        "port": scale.port,
        "items": ITEMS,
        "password": PASSWORD,
        "faults": FAULTS[scale.kind],
    }
    # What JSON says of texts, numbers and lists of them is TOML as well.
    lines = (f"{key} = {json.dumps(value)}" for key, value in options.items())
    return "\n".join(("[[scales]]", *lines, ""))
