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
from typing import Annotated, Any, Final

import pytest
import typer.main
from pydantic import BaseModel

ROOT: Final = Path(__file__).parents[2]
STORED: Final = Path(__file__).with_name("stored_names.json")
SERVICES: Final = sorted(file.parent.name for file in (ROOT / "services").glob("*/__main__.py"))

NAMED: Final = {
    "Projection": "read model",
    "StateTable": "read model",
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
        for kind, name in names_in(ast.parse(file.read_text())):
            found[kind].add(name)
    for service in SERVICES:
        main: Any = importlib.import_module(f"services.{service}.__main__")
        found["setting"] |= set(settings_of(main.SERVICE.settings, service))
        found["command"] |= set(commands_of(typer.main.get_command(main.app), service))
    return {kind: sorted(found[kind]) for kind in sorted(found)}


def settings_of(settings: type[BaseModel], service: str) -> Iterator[str]:
    """The variables that the fields of a service's settings are read from."""
    return (f"{service}_{field}".upper() for field in settings.model_fields)


def names_in(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Kinds and names in a module: literal arguments of the calls above, and advisory locks."""
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


def commands_of(command: Any, path: str) -> Iterator[str]:
    """The commands and options below a command, each with its path."""
    for parameter in command.params:
        yield f"{path} {'/'.join(sorted(parameter.opts)) or parameter.name}"
    for name, inner in getattr(command, "commands", {}).items():
        yield f"{path} {name}"
        yield from commands_of(inner, f"{path} {name}")


def test_names_that_outlive_the_code_are_as_they_were() -> None:
    stored = json.loads(STORED.read_text())

    assert names() == stored


BAKERY: Final = """
READ_MODEL = "loaf"
OVEN_LOCK: Final = 516
_TILL_LOCK = 517
FACTS = UUID("0d3f3c52-8a55-5b0e-9a55-6d1c5f5b7e9b")
LOAVES = Projection(name=READ_MODEL, project=project)
PRICES = Reaction(name="price", topics=("shop.price",))
BAKED = Counter("loaves_baked", "Loaves that were baked.")
HEAT = metrics.Gauge("oven_heat", "Degrees.")
TIME = prometheus_client.Histogram("oven_seconds", "Seconds.")

def bake(self, number, key):
    self.seal(key, purpose, f"recipe {number}")
    derive_key(key, "refresh")
    return uuid5(FACTS, f"loaf {number}")
"""


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        ("read model", '"loaf"'),
        ("reaction", '"price"'),
        ("metric", "loaves_baked"),
        ("metric", "oven_heat"),
        ("metric", "oven_seconds"),
        ("purpose of a key", '"refresh"'),
        ("purpose of a seal", "recipe "),
        ("name of an id", "loaf {"),
        ("namespace", "0d3f3c52"),
        ("advisory lock", "516"),
        ("advisory lock", "517"),
    ],
)
def test_a_changed_name_is_noticed_and_a_renamed_definition_is_not(kind: str, stored: str) -> None:
    assert BAKERY.count(stored) == 1
    changed = BAKERY.replace(stored, stored.translate({ord(stored[2]): "9"}))
    before, after = (set(names_in(ast.parse(text))) for text in (BAKERY, changed))

    assert {one for one, _ in before ^ after} == {kind}
    assert len(before) == len(after) == 11
    renamed = BAKERY.replace("READ_MODEL", "MODEL").replace("bake(", "make(")
    assert set(names_in(ast.parse(renamed))) == before


def test_a_changed_setting_is_noticed() -> None:
    class Before(BaseModel):
        oven_degrees: int = 200

    class After(BaseModel):
        oven_heat: int = 200

    assert list(settings_of(Before, "bakery")) == ["BAKERY_OVEN_DEGREES"]
    assert list(settings_of(After, "bakery")) == ["BAKERY_OVEN_HEAT"]


def test_a_changed_command_or_option_is_noticed() -> None:
    def made(name: str, option: str) -> set[str]:
        app, orders = typer.Typer(), typer.Typer()

        @orders.command(name)
        def bake(number: int, degrees: Annotated[int, typer.Option(option)] = 200) -> None: ...

        @orders.command()
        def cool() -> None: ...

        app.add_typer(orders, name="orders")
        return set(commands_of(typer.main.get_command(app), "bakery"))

    before = made("bake", "--degrees")
    assert {"bakery orders", "bakery orders bake", "bakery orders bake --degrees"} <= before
    assert before - made("bake", "--heat") == {"bakery orders bake --degrees"}
    assert "bakery orders bake" in before - made("make", "--degrees")


if __name__ == "__main__":
    STORED.write_text(json.dumps(names(), indent=1, ensure_ascii=False) + "\n")
