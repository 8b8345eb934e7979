"""The laws of a service's shape: each finds what breaks it, in the tree under `services`.

A subject is a package of the service; its rooms are modules or packages of modules. A subject may
be cut into sub-subjects, one level deep, each with the same rooms.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.architecture.source import functions, importers

ROOMS: Final = {
    *("api", "cli", "reactions", "handlers"),
    *("domain", "read_models", "stores", "adapters"),
}
OWN_FILES: Final = {"__init__", "__main__", "settings", "context", "bootstrap"}
MOST_SUBJECTS: Final = 10
LONGEST_FUNCTION: Final = 40
SHORTEST_NEIGHBOUR: Final = 120
_FRAME: Final = {"__main__", "bootstrap"}


def services(home: Path) -> list[Path]:
    """The services under `home`."""
    return sorted(file.parent for file in home.glob("*/__init__.py"))


def subjects(service: Path) -> list[str]:
    """The names of a service's subjects."""
    packages = {file.parent.name for file in service.glob("*/__init__.py")}
    return sorted(packages - {"migrations"})


def misplaced(service: Path) -> Iterator[str]:
    """Files and packages that are neither the service's own, nor a subject, nor in a room."""
    own = {file.stem for file in service.glob("*.py")}
    yield from (f"{service.name}/{stem}.py" for stem in sorted(own - OWN_FILES))
    for subject in subjects(service):
        yield from _outside_rooms(service / subject, f"{service.name}/{subject}", parts=True)


def _outside_rooms(subject: Path, label: str, *, parts: bool) -> Iterator[str]:
    """What of a subject lies in no room. Only a subject itself may hold sub-subjects (`parts`)."""
    for entry in sorted(subject.iterdir()):
        if entry.name in {"__init__.py", "__pycache__"}:
            continue
        package = entry.is_dir()
        if entry.stem in ROOMS:
            inner = entry.rglob("*/__init__.py") if package else ()
            yield from (f"{label}/{one.parent.relative_to(subject)}" for one in sorted(inner))
            if package and (subject / f"{entry.name}.py").exists():
                yield f"{label}/{entry.name}.py"
        elif package and parts and (entry / "__init__.py").exists():
            yield from _outside_rooms(entry, f"{label}/{entry.name}", parts=False)
        else:
            yield f"{label}/{entry.name}"


def order(pyproject: str, service: str) -> list[str]:
    """The subjects of a service, top to bottom, as the linter's contract has them; empty if the
    service has no contract."""
    contracts = tomllib.loads(pyproject)["tool"]["importlinter"]["contracts"]
    layers = [
        layer
        for contract in contracts
        if contract.get("containers") == [f"services.{service}"]
        for layer in contract["layers"]
    ]
    names = [name for layer in layers for name in re.findall(r"\w+", layer)]
    return [name for name in names if name not in _FRAME]


def named_in_readme(readme: str, subjects: list[str]) -> list[str]:
    """The subjects in the order in which lines of pictures, tables and lists begin with them."""
    shown, picture = [], False
    for line in readme.splitlines():
        if line.startswith("```"):
            picture = not picture
        first = re.match(r"[^\w]*(\w+)", line)
        listed = picture or line.startswith(("|", "*", "-", "    "))
        if listed and first and first[1] in subjects and first[1] not in shown:
            shown.append(first[1])
    return shown


def small_neighbours(home: Path) -> Iterator[str]:
    """Modules below 120 lines that only one module imports, their neighbour in the same room."""
    files = {
        ".".join(file.relative_to(home.parent).with_suffix("").parts): file
        for file in home.rglob("*.py")
        if file.name != "__init__.py"
    }
    texts = {module: file.read_text() for module, file in files.items()}
    by = importers({module: ast.parse(text) for module, text in texts.items()})
    for module, others in sorted(by.items()):
        room = module.rpartition(".")[0]
        alone = [other.rpartition(".")[0] for other in others] == [room]
        short = len(texts[module].splitlines()) < SHORTEST_NEIGHBOUR
        if alone and short and room.rpartition(".")[2] in ROOMS:
            yield module


def long_functions(label: str, module: ast.Module) -> Iterator[str]:
    """Functions of more than 40 lines, docstring and inner functions included."""
    for node in functions(module):
        if (node.end_lineno or node.lineno) - node.lineno >= LONGEST_FUNCTION:
            yield f"{label}: {node.name}"
