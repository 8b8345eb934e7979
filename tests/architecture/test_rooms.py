"""The house has the same rooms on every floor, and no others."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
KNOWN = {"gateway", "ingest", "scale_bridge", "crm", "shop", "kiosk"}
SERVICES = {file.parent.name for file in (ROOT / "services").glob("*/__init__.py")}
ROOMS = {"api", "reactions", "handlers", "domain", "read_models", "adapters"}
FILES = {"__init__", "__main__", "settings", "deps", "bootstrap"}
TOP = {
    "services",
    "libs",
    "contracts",
    "deploy",
    "tests",
    "Makefile",
    "compose.yaml",
    "pyproject.toml",
    "README.md",
}
NAMELESS = {"utils", "util", "common", "base", "manager", "misc", "constants", "helpers"}


def tracked() -> list[Path]:
    """Every file that belongs to the project."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def imports(file: Path) -> Iterator[str]:
    """The first word of every module imported in `file`."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def test_nothing_lies_about_in_the_hall() -> None:
    entries = {file.relative_to(ROOT).parts[0] for file in tracked()}

    assert {entry for entry in entries if not entry.startswith(".")} <= TOP


def test_every_service_is_one_of_the_six_we_know() -> None:
    assert SERVICES
    assert SERVICES <= KNOWN


def test_every_service_has_the_same_rooms() -> None:
    homes = {service: ROOT / "services" / service for service in SERVICES}

    for each, home in homes.items():
        assert {file.parent.name for file in home.glob("*/__init__.py")} == ROOMS, each
        assert {file.stem for file in home.glob("*.py")} == FILES, each
        assert (home / "README.md").is_file(), each
        assert (home / "migrations" / "versions").is_dir(), each


def test_contracts_import_only_the_standard_library_and_each_other() -> None:
    allowed = sys.stdlib_module_names | {"contracts"}
    files = sorted((ROOT / "contracts").rglob("*.py"))

    assert files
    assert {file.name: set(imports(file)) - allowed for file in files} == {
        file.name: set() for file in files
    }


def test_no_room_is_named_after_nothing() -> None:
    names = {part for file in tracked() for part in file.relative_to(ROOT).with_suffix("").parts}

    assert not names & NAMELESS
