"""What every file of the project keeps to, and which one part may do what no other does.

Its size, its first sentence, no trace of where it was written. The rooms are in `test_rooms.py`.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.architecture import rooms
from tests.architecture.source import ROOT, name, tracked, tree

KNOWN = {"gateway", "ingest", "scale_bridge", "crm", "shop", "kiosk"}
SERVICES = {file.parent.name for file in (ROOT / "services").glob("*/__init__.py")}
TOP = {
    *("services", "libs", "contracts", "deploy", "tests"),
    *("Makefile", "compose.yaml", "pyproject.toml", "README.md"),
}
NAMELESS = {"utils", "util", "common", "base", "manager", "misc", "constants", "helpers"}
WRITES_EVENTS = re.compile(r"INSERT\s+INTO\s+events\b", re.IGNORECASE)
MAKES_PRODUCERS = re.compile(r"AIOKafkaProducer\(")
SUBSCRIBER = r".+\.subscriber"
SUBSCRIPTION = {"auto_offset_reset", "ack_policy", "group_id"}
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
    assert stray(name(file) for file in tracked()) == set()


def stray(paths: Iterable[str]) -> set[str]:
    """Entries at the top that the tree does not have; names that begin with a dot are free."""
    entries = {Path(path).parts[0] for path in paths}
    return {entry for entry in entries if not entry.startswith(".")} - TOP


def test_another_entry_at_the_top_is_noticed() -> None:
    assert stray(["Makefile", ".ci/run", "libs/clock.py", "scripts/x.py"]) == {"scripts"}


def test_every_service_is_one_of_the_six_we_know() -> None:
    assert SERVICES
    assert SERVICES <= KNOWN


def test_contracts_import_only_the_standard_library_and_each_other() -> None:
    files = sorted((ROOT / "contracts").rglob("*.py"))

    assert files
    assert {name(file): names for file in files if (names := foreign(file))} == {}


def foreign(file: Path) -> set[str]:
    """The packages that a module of contracts imports and may not."""
    return set(imports(file)) - sys.stdlib_module_names - {"contracts"}


@pytest.mark.parametrize("package", ["pydantic", "libs", "services"])
def test_a_contract_that_imports_anything_else_is_noticed(tmp_path: Path, package: str) -> None:
    file = tmp_path / "shop.py"
    file.write_text(f"import json\nfrom contracts import units\nfrom {package} import clock\n")

    assert foreign(file) == {package}


def test_no_room_is_named_after_nothing() -> None:
    assert nameless(name(file) for file in tracked()) == set()


def nameless(paths: Iterable[str]) -> set[str]:
    """The names in the paths that say nothing."""
    return {part for path in paths for part in Path(path).with_suffix("").parts} & NAMELESS


@pytest.mark.parametrize("path", ["libs/utils/text.py", "services/shop/orders/api/helpers.py"])
def test_a_name_that_says_nothing_is_noticed(path: str) -> None:
    assert len(nameless(["libs/clock.py", path])) == 1


def test_every_file_says_what_it_is_for() -> None:
    assert list(map(name, untitled(SOURCES))) == []


def untitled(files: Iterable[Path]) -> Iterator[Path]:
    """Files with code and no docstring."""
    for file in files:
        if tree(file).body and not ast.get_docstring(tree(file)):
            yield file


def test_a_file_that_does_not_say_what_it_is_for_is_noticed(tmp_path: Path) -> None:
    for stem, text in {"empty": "", "oven": "HEAT = 1\n", "titled": '"""Ovens."""\n'}.items():
        (tmp_path / f"{stem}.py").write_text(text)

    assert [file.stem for file in untitled(tmp_path.iterdir())] == ["oven"]


def test_every_file_is_short_or_says_why_not() -> None:
    assert [name(file) for file in rooms.long_files(SOURCES)] == []


def test_a_long_file_that_does_not_say_why_is_noticed(tmp_path: Path) -> None:
    files = {
        "short": "1\n" * 400,
        "long": "1\n" * 401,
        "one_idea": "Longer than most: it is one idea.\n" + "1\n" * 400,
    }
    for stem, text in files.items():
        (tmp_path / f"{stem}.py").write_text(text)

    assert [file.stem for file in rooms.long_files(sorted(tmp_path.iterdir()))] == ["long"]


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


def test_a_definition_that_says_nothing_is_noticed(tmp_path: Path) -> None:
    oven = tmp_path / "oven.py"
    oven.write_text(
        "def bake(): ...\nclass Oven: ...\nasync def cool(): ...\ndef _heat(): ...\n"
        'def clean():\n    """Clean it."""\n'
    )

    assert list(silent(oven)) == ["bake", "Oven", "cool"]


def test_no_file_knows_a_registry_or_a_machine() -> None:
    assert {name(file): found for file in tracked() if (found := traces(file))} == {}


def traces(file: Path) -> list[str]:
    """Addresses of registries and folders of a machine in a file."""
    text = file.read_bytes().decode(errors="ignore")
    return [one.group() for pattern in (REGISTRIES, MACHINES) for one in pattern.finditer(text)]


def test_a_registry_or_a_machine_is_noticed(tmp_path: Path) -> None:
    # In pieces, or this very file would be one of them.
    found = ["".join(pieces) for pieces in (("python", "hosted.org"), ("/ho", "me/anna/"))]
    file = tmp_path / "lock.txt"
    file.write_bytes(f"https://files.{found[0]}/x {found[1]}shop /data/shop".encode() + b"\xff")

    assert traces(file) == found


def calls(file: Path, what: str) -> Iterator[ast.Call]:
    """The calls of what is written so (a pattern)."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call) and re.fullmatch(what, ast.unparse(node.func)):
            yield node


def test_only_the_event_log_appends() -> None:
    assert matching(WRITES_EVENTS, LIVE) == {"libs/eventsourcing/insertion.py"}


def test_only_the_relay_publishes() -> None:
    assert matching(MAKES_PRODUCERS, LIVE) == {"libs/messaging/publisher.py"}


def matching(pattern: re.Pattern[str], files: Iterable[Path], home: Path = ROOT) -> set[str]:
    """The files in whose text the pattern occurs, as paths from `home` on."""
    return {str(file.relative_to(home)) for file in files if pattern.search(file.read_text())}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (WRITES_EVENTS, 'WRITE = "insert into\n events (stream) VALUES ($1)"'),
        (MAKES_PRODUCERS, "producer = aiokafka.AIOKafkaProducer(acks='all')"),
    ],
    ids=["another writer of the log", "another publisher"],
)
def test_what_only_one_part_may_do_is_noticed_elsewhere(
    tmp_path: Path, pattern: re.Pattern[str], text: str
) -> None:
    for stem, line in {"oven": text, "till": 'READ = "SELECT * FROM events"'}.items():
        (tmp_path / f"{stem}.py").write_text(line)

    assert matching(pattern, tmp_path.iterdir(), tmp_path) == {"oven.py"}


def test_every_subscriber_says_where_it_starts_and_how_it_acknowledges() -> None:
    subscribers = [call for file in LIVE for call in calls(file, SUBSCRIBER)]

    assert subscribers
    assert [ast.unparse(call) for call in subscribers if missing_arguments(call)] == []


def missing_arguments(call: ast.Call) -> set[str]:
    """The arguments that a subscription must give and does not."""
    return SUBSCRIPTION - {keyword.arg or "" for keyword in call.keywords}


@pytest.mark.parametrize("argument", sorted(SUBSCRIPTION))
def test_a_subscriber_that_leaves_out_an_argument_is_noticed(tmp_path: Path, argument: str) -> None:
    given = ", ".join(f"{one}=1" for one in sorted(SUBSCRIPTION - {argument}))
    file = tmp_path / "reader.py"
    file.write_text(f"self.broker.subscriber('scans', {given})\n")

    [call] = calls(file, SUBSCRIBER)
    assert missing_arguments(call) == {argument}


def test_nothing_that_answers_waits_for_a_thread() -> None:
    """FastAPI runs plain functions in threads, for every request; ours never block, so none is."""
    assert len(dependencies(LIVE)) > 5
    assert sum(1 for file in LIVE for _ in endpoints_of(file)) > 20
    assert blocking(LIVE) == set()


def blocking(files: Sequence[Path]) -> set[str]:
    """Plain functions among the endpoints and the dependencies of endpoints."""
    plain = {
        node.name: f"{file.stem}: {node.name}"
        for file in files
        if {"api", "http"} & {*file.parts} or file.stem in {"api", "context"}
        for node in tree(file).body
        if isinstance(node, ast.FunctionDef)
    }
    endpoints = [node.name for file in files for node in endpoints_of(file)]
    return {plain[one] for one in (*dependencies(files), *endpoints) if one in plain}


def dependencies(files: Iterable[Path]) -> list[str]:
    """The names of functions that FastAPI calls before an endpoint."""
    arguments = [call.args[0] for file in files for call in calls(file, "Depends") if call.args]
    return [node.id for node in arguments if isinstance(node, ast.Name)]


def test_an_endpoint_that_waits_for_a_thread_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "api.py"
    file.write_text(
        "@router.get('/loaves')\ndef loaves(oven = Depends(open_oven)): ...\n"
        "@router.get('/cakes')\nasync def cakes(oven = Depends(warm)): ...\n"
        "def open_oven(): ...\nasync def warm(): ...\ndef free(): ...\n"
    )

    assert blocking([file]) == {"api: loaves", "api: open_oven"}


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
