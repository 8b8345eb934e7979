"""Definitions have the names of the field: none is one of the words that the glossary replaced.

What is not renamed yet is named in `debt.py`, per part of the tree: a list that may only shrink.
"""

import ast
from collections import defaultdict

import pytest

from tests.architecture import debt
from tests.architecture.source import name, tracked, tree
from tests.architecture.words import avoided


def named_otherwise() -> dict[str, set[str]]:
    """The avoided names by part: `services/<service>`, or `libs`. Contracts name what is stored."""
    found = defaultdict[str, set[str]](set)
    for file in tracked():
        top, *inner = name(file).split("/")
        if file.suffix == ".py" and top in {"libs", "services"} and "migrations" not in inner:
            part = f"{top}/{inner[0]}" if top == "services" else top
            found[part] |= avoided(file.stem, tree(file))
    return {part: names for part, names in found.items() if names}


def test_no_definition_has_a_private_word() -> None:
    found = named_otherwise()

    assert {part: names - debt.WORDS.get(part, set()) for part, names in found.items()} == {
        part: set() for part in found
    }
    assert {part: names - found.get(part, set()) for part, names in debt.WORDS.items()} == {
        part: set() for part in debt.WORDS
    }, "these are renamed: take them from the list"


@pytest.mark.parametrize(
    ("stem", "text", "found"),
    [
        ("told", "", "told"),
        ("oven", "def _said(): ...", "said"),
        ("oven", "class Oven:\n    async def keep(self): ...", "keep"),
        ("oven", "class Errand: ...", "Errand"),
        ("oven", "class Oven:\n    standing: int", "standing"),
        ("oven", "SHOWN: int = 7", "SHOWN"),
        ("oven", "Asked = int", "Asked"),
        ("oven", "def bake():\n    def look(): ...", "look"),
    ],
    ids=["module", "function", "method", "class", "field", "constant", "alias", "inner function"],
)
def test_a_private_word_is_noticed(stem: str, text: str, found: str) -> None:
    assert avoided(stem, ast.parse(text)) == {found}


def test_parameters_and_local_variables_are_free() -> None:
    free = "def bake(asked: int) -> int:\n    found = asked\n    return found\nBAKED: int = 1"

    assert avoided("oven", ast.parse(free)) == set()
