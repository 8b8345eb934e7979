"""The laws of a service's shape: each finds what breaks it, in the tree under `services`.

A subject is a package of the service; its rooms are modules or packages of modules. A subject may
be cut into sub-subjects, one level deep, each with the same rooms.
"""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.architecture.source import functions, importers, imports

LEVELS: Final = {
    **dict.fromkeys(("api", "cli", "reactions"), 3),
    **dict.fromkeys(("handlers",), 2),
    **dict.fromkeys(("read_models", "stores", "adapters"), 1),
    **dict.fromkeys(("domain",), 0),
}
"""The rooms from bottom to top; those at the same level may use each other inside a subject."""
ROOMS: Final = LEVELS.keys()
OWN_FILES: Final = {"__init__", "__main__", "settings", "context", "bootstrap"}
MOST_SUBJECTS: Final = 10
LONGEST_FUNCTION: Final = 40
LONGEST_FILE: Final = 400
LONGER: Final = "Longer than most:"
"""A file over the limit says with these words why it is one idea."""
SHORTEST_NEIGHBOUR: Final = 120
_FRAME: Final = {"__main__", "bootstrap"}


def services(home: Path) -> list[Path]:
    """The services under `home`."""
    return sorted(file.parent for file in home.glob("*/__init__.py"))


def subjects(service: Path) -> list[str]:
    """The names of a service's subjects."""
    packages = {file.parent.name for file in service.glob("*/__init__.py")}
    return sorted(packages - {"migrations"})


def incomplete(service: Path) -> Iterator[str]:
    """What a service lacks: a README, migrations, a table of contents that fits on a page."""
    if not (service / "README.md").is_file():
        yield f"{service.name} has no README.md"
    if not (service / "migrations" / "versions").is_dir():
        yield f"{service.name} has no migrations"
    if not 0 < len(subjects(service)) <= MOST_SUBJECTS:
        yield f"{service.name} has {len(subjects(service))} subjects"


def misplaced(service: Path) -> Iterator[str]:
    """Files and packages that are neither the service's own, nor a subject, nor in a room."""
    own = {file.stem for file in service.glob("*.py")}
    yield from (f"{service.name}/{stem}.py" for stem in sorted(own - OWN_FILES))
    for subject in subjects(service):
        yield from _outside_rooms(service / subject, f"{service.name}/{subject}", parts=True)


def _outside_rooms(subject: Path, label: str, *, parts: bool) -> Iterator[str]:
    """Files and packages of a subject outside its rooms. With `parts` it may hold sub-subjects."""
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


def disagreements(pyproject: str, service: Path) -> Iterator[str]:
    """Where the subjects in the tree, in the linter's contract and in the README differ. The
    README names them in the order of the contract."""
    ordered, present = order(pyproject, service.name), subjects(service)
    if sorted(ordered) != present:
        yield f"{service.name}: the contract orders {ordered}, the tree holds {present}"
    pictured = named_in_readme((service / "README.md").read_text(), present)
    if pictured != ordered:
        yield f"{service.name}: the README names {pictured}, the contract orders {ordered}"


def named_in_readme(readme: str, subjects: list[str]) -> list[str]:
    """The subjects in the order in which lines of pictures, tables and lists begin with them."""
    named, picture = [], False
    for line in readme.splitlines():
        if line.startswith("```"):
            picture = not picture
        first = re.match(r"[^\w]*(\w+)", line)
        listed = picture or line.startswith(("|", "*", "-", "    "))
        if listed and first and first[1] in subjects and first[1] not in named:
            named.append(first[1])
    return named


def upward_imports(home: Path) -> Iterator[str]:
    """Imports of a room by a lower room, or by another kind at its level, of another subject. The
    linter's contracts order the rooms inside each subject alone."""
    modules = _modules(home)
    for module, text in sorted(modules.items()):
        if (own := _room(module)) is None:
            continue
        for subject, room in sorted(filter(None, {_room(one) for one in imports(ast.parse(text))})):
            if subject != own[0] and room != own[1] and LEVELS[room] >= LEVELS[own[1]]:
                yield f"{module} -> {subject}.{room}"


def _room(module: str) -> tuple[str, str] | None:
    """Subject and room of a module `services.<service>.<subject>…`, if it lies in one."""
    parts = module.split(".") if module.startswith("services.") else []
    for index, part in enumerate(parts[3:], 3):
        if part in ROOMS:
            return ".".join(parts[:index]), part
    return None


def _modules(home: Path) -> dict[str, str]:
    """The texts of all modules under `home`, by dotted name from `home` on."""
    return {
        ".".join(file.relative_to(home.parent).with_suffix("").parts): file.read_text()
        for file in home.rglob("*.py")
        if file.name != "__init__.py"
    }


def small_neighbours(home: Path) -> Iterator[str]:
    """Modules below 120 lines that only one module imports, their neighbour in the same room."""
    texts = _modules(home)
    by = importers({module: ast.parse(text) for module, text in texts.items()})
    for module, others in sorted(by.items()):
        room = module.rpartition(".")[0]
        alone = [other.rpartition(".")[0] for other in others] == [room]
        short = len(texts[module].splitlines()) < SHORTEST_NEIGHBOUR
        if alone and short and room.rpartition(".")[2] in ROOMS:
            yield module


def long_files(files: Iterable[Path]) -> Iterator[Path]:
    """Files of more than 400 lines that do not say why."""
    for file in files:
        text = file.read_text()
        if len(text.splitlines()) > LONGEST_FILE and LONGER not in text:
            yield file


def long_functions(label: str, module: ast.Module) -> Iterator[str]:
    """Functions of more than 40 lines, docstring and inner functions included."""
    for node in functions(module):
        if (node.end_lineno or node.lineno) - node.lineno >= LONGEST_FUNCTION:
            yield f"{label}: {node.name}"
