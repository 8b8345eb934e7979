"""What is stored or seen under a name keeps it, whatever the code is called.

Context: a name in a database, a topic, a key's purpose, a metric or a command line outlives the
code that uses it; code is renamed and moved. Decision: all of them stand in `stored_names.json`,
found in the code wherever it is. Consequence: a changed or lost name fails here; a new one is added
to the file (`python -m tests.architecture.test_stored_names`), a changed one needs a migration.
"""

import ast
import importlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import typer.main

ROOT: Final = Path(__file__).parents[2]
STORED: Final = Path(__file__).with_name("stored_names.json")
SERVICES: Final = sorted(file.parent.name for file in (ROOT / "services").glob("*/__main__.py"))

NAMED: Final = {
    "Projection": "read model",
    "Reaction": "reaction",
    "Counter": "metric",
    "Gauge": "metric",
    "Histogram": "metric",
    "derive_key": "purpose of a key",
    "uuid5": "name of an id",
    "UUID": "namespace",
    "seal": "purpose of a seal",
}
"""Calls whose literal arguments are names that outlive the code."""


def names() -> Mapping[str, list[str]]:
    """All names by kind; of a text made at run time the parts that do not change."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in sorted([*(ROOT / "libs").rglob("*.py"), *(ROOT / "services").rglob("*.py")]):
        if {"testing", "migrations"} & {*file.parts}:
            continue
        for kind, name in _of_calls(ast.parse(file.read_text())):
            found[kind].add(name)
    for service in SERVICES:
        main: Any = importlib.import_module(f"services.{service}.__main__")
        settings = main.SERVICE.settings
        found["setting"] |= {f"{service}_{field}".upper() for field in settings.model_fields}
        found["command"] |= set(_commands(typer.main.get_command(main.app), service))
    return {kind: sorted(found[kind]) for kind in sorted(found)}


def _of_calls(tree: ast.Module) -> Iterator[tuple[str, str]]:
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id.endswith("_LOCK"):
                yield "advisory lock", str(node.value.value)
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        called: str = getattr(function, "attr", "") or getattr(function, "id", "")
        if (kind := NAMED.get(called)) is None:
            continue
        named = [word.value for word in node.keywords if word.arg == "name"]
        first = node.args[:1] if kind == "metric" else node.args
        for argument in (*first, *named):
            value = constants.get(argument.id) if isinstance(argument, ast.Name) else argument
            if value is not None and (text := _text(value)) is not None:
                yield kind, text


def _text(node: ast.expr) -> str | None:
    match node:
        case ast.Constant(value=str(text)) if text:
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts
            )
        case _:
            return None


def _commands(command: Any, path: str) -> Iterator[str]:
    for parameter in command.params:
        yield f"{path} {'/'.join(sorted(parameter.opts)) or parameter.name}"
    for name, inner in getattr(command, "commands", {}).items():
        yield f"{path} {name}"
        yield from _commands(inner, f"{path} {name}")


def test_names_that_outlive_the_code_are_as_they_were() -> None:
    stored = json.loads(STORED.read_text())

    assert names() == stored


if __name__ == "__main__":
    STORED.write_text(json.dumps(names(), indent=1, ensure_ascii=False) + "\n")
