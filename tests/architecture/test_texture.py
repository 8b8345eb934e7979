"""What every file keeps to: its size, its first sentence, and no trace of where it was written."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.architecture.test_rooms import ROOT, tracked

LONGEST = 400
SOURCES = [file for file in tracked() if file.suffix == ".py"]
CODE = [file for file in SOURCES if file.relative_to(ROOT).parts[0] in {"libs", "services"}]
REGISTRIES = re.compile(
    r"py" r"pi\.org|python" r"hosted\.org|npm" r"js\.(org|com)|maven" r"\.org|crates" r"\.io"
)
MACHINES = re.compile(r"/(ro" r"ot|wo" r"rk|ho" r"me/\w+)/")


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


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
