"""What every file of the project keeps to, and which one part may do what no other does.

Its size, its first sentence, no trace of where it was written. The rooms are in `test_rooms.py`.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source import ROOT, name, tracked, tree

KNOWN = {"gateway", "ingest", "scale_bridge", "crm", "shop", "kiosk"}
SERVICES = {file.parent.name for file in (ROOT / "services").glob("*/__init__.py")}
TOP = {
    *("services", "libs", "contracts", "deploy", "tests"),
    *("Makefile", "compose.yaml", "pyproject.toml", "README.md"),
}
NAMELESS = {"utils", "util", "common", "base", "manager", "misc", "constants", "helpers"}
LONGEST = 400
WRITES_EVENTS = re.compile(r"INSERT\s+INTO\s+events\b", re.IGNORECASE)
REGISTRIES = re.compile(
    r"py" r"pi\.org|python" r"hosted\.org|npm" r"js\.(org|com)|maven" r"\.org|crates" r"\.io"
)
MACHINES = re.compile(r"/(ro" r"ot|wo" r"rk|ho" r"me/\w+)/")
ASK = """
import importlib, sys
for service in sys.argv[1:]:
    importlib.import_module(f"services.{service}.__main__")
    print(service, "alembic" in sys.modules)
"""


SOURCES = [file for file in tracked() if file.suffix == ".py"]
CODE = [file for file in SOURCES if file.relative_to(ROOT).parts[0] in {"libs", "services"}]
LIVE = [file for file in CODE if "migrations" not in file.parts]


def imports(file: Path) -> Iterator[str]:
    """The first word of every module imported in `file`."""
    for node in ast.walk(tree(file)):
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


def test_every_file_says_what_it_is_for() -> None:
    assert [
        name(file) for file in SOURCES if tree(file).body and not ast.get_docstring(tree(file))
    ] == []


def test_every_file_is_short_or_says_why_not() -> None:
    long = [name(file) for file in SOURCES if len(file.read_text().splitlines()) > LONGEST]

    assert [one for one in long if "Longer than most:" not in (ROOT / one).read_text()] == []


def test_what_others_may_call_says_what_cannot_be_seen() -> None:
    assert [f"{name(file)}: {one}" for file in CODE for one in silent(file)] == []


def silent(file: Path) -> Iterator[str]:
    """The public functions and classes of a file without a docstring."""
    for node in tree(file).body:
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ):
            yield node.name


def test_no_file_knows_a_registry_or_a_machine() -> None:
    traces = [
        f"{name(file)}: {match.group()}"
        for file in tracked()
        for text in [file.read_bytes().decode(errors="ignore")]
        for pattern in (REGISTRIES, MACHINES)
        if (match := pattern.search(text))
    ]

    assert traces == []


def calls(file: Path, what: str) -> Iterator[ast.Call]:
    """The calls of what is written so (a pattern)."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call) and re.fullmatch(what, ast.unparse(node.func)):
            yield node


def test_only_the_event_log_appends() -> None:
    writers = {name(f) for f in LIVE if WRITES_EVENTS.search(f.read_text())}

    assert writers == {"libs/eventsourcing/insertion.py"}


def test_only_the_relay_publishes() -> None:
    makers = {name(f) for f in LIVE if "AIOKafkaProducer(" in f.read_text()}

    assert makers == {"libs/messaging/publisher.py"}


def test_every_subscriber_says_where_it_starts_and_how_it_acknowledges() -> None:
    subscribers = [call for file in LIVE for call in calls(file, r".+\.subscriber")]

    assert subscribers
    for call in subscribers:
        given = {keyword.arg for keyword in call.keywords}
        assert {"auto_offset_reset", "ack_policy", "group_id"} <= given


def test_nothing_that_answers_waits_for_a_thread() -> None:
    """FastAPI runs plain functions in threads, for every request; ours never block, so none is."""
    plain = {
        node.name: f"{name(file)}: {node.name}"
        for file in LIVE
        if {"api", "http"} & {*file.parts} or file.name == "context.py"
        for node in tree(file).body
        if isinstance(node, ast.FunctionDef)
    }
    asked = [call.args[0] for file in LIVE for call in calls(file, "Depends") if call.args]
    dependencies = [node.id for node in asked if isinstance(node, ast.Name)]
    endpoints = [node.name for file in LIVE for node in endpoints_of(file)]

    assert len(dependencies) > 5
    assert len(endpoints) > 20
    assert {plain[name] for name in (*dependencies, *endpoints) if name in plain} == set()


def endpoints_of(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
            isinstance(one, ast.Call)
            and getattr(getattr(one.func, "value", None), "id", "") == "router"
            for one in node.decorator_list
        ):
            yield node


def test_only_what_migrates_loads_alembic() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK, *sorted(SERVICES)], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == [f"{service} False" for service in sorted(SERVICES)]
