"""What every file keeps to: its size, its first sentence, and no trace of where it was written."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.test_rooms import ROOT, tracked

LONGEST = 250
SOURCES = [file for file in tracked() if file.suffix == ".py"]
CODE = [file for file in SOURCES if file.relative_to(ROOT).parts[0] in {"libs", "services"}]
REGISTRIES = re.compile(
    r"py" r"pi\.org|python" r"hosted\.org|npm" r"js\.(org|com)|maven" r"\.org|crates" r"\.io"
)
MACHINES = re.compile(r"/(ro" r"ot|wo" r"rk|ho" r"me/\w+)/")


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", SOURCES, ids=name)
def test_a_file_says_what_it_is_for(file: Path) -> None:
    tree = ast.parse(file.read_text())

    if tree.body:
        assert ast.get_docstring(tree)


@pytest.mark.parametrize("file", SOURCES, ids=name)
def test_a_file_is_short_or_says_why_not(file: Path) -> None:
    text = file.read_text()
    said = ast.get_docstring(ast.parse(text)) or ""

    assert len(text.splitlines()) <= LONGEST or "Longer than most:" in said


@pytest.mark.parametrize("file", CODE, ids=name)
def test_what_others_may_call_says_what_cannot_be_seen(file: Path) -> None:
    silent = [
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]

    assert not silent


def test_no_file_knows_a_registry_or_a_machine() -> None:
    said = [
        f"{name(file)}: {found.group()}"
        for file in tracked()
        for text in [file.read_bytes().decode(errors="ignore")]
        for pattern in (REGISTRIES, MACHINES)
        if (found := pattern.search(text))
    ]

    assert not said
