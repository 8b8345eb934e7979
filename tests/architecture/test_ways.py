"""Only one part of the house does each of these things (architecture, section 2)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.test_rooms import ROOT

WRITES_EVENTS = re.compile(r"INSERT\s+INTO\s+events\b", re.IGNORECASE)
CODE = [
    file
    for package in ("libs", "services")
    for file in (ROOT / package).rglob("*.py")
    if "migrations" not in file.parts
]


def calls(file: Path, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", None) == name:
            yield node


def test_only_the_event_log_appends() -> None:
    writers = {str(f.relative_to(ROOT)) for f in CODE if WRITES_EVENTS.search(f.read_text())}

    assert writers == {"libs/eventsourcing/statements.py"}


def test_only_the_relay_publishes() -> None:
    makers = {str(f.relative_to(ROOT)) for f in CODE if "AIOKafkaProducer(" in f.read_text()}

    assert makers == {"libs/messaging/publisher.py"}


def test_every_subscriber_says_where_it_starts_and_how_it_acknowledges() -> None:
    subscribers = [call for file in CODE for call in calls(file, "subscriber")]

    assert subscribers
    for call in subscribers:
        given = {keyword.arg for keyword in call.keywords}
        assert {"auto_offset_reset", "ack_policy", "group_id"} <= given


def test_nothing_that_answers_waits_for_a_thread() -> None:
    """FastAPI runs plain functions in threads, for every request; ours never block, so none is."""
    plain = {
        node.name: f"{file.relative_to(ROOT)}: {node.name}"
        for file in CODE
        if {"api", "http"} & {*file.parts} or file.name == "deps.py"
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    asked = [call.args[0] for file in CODE for call in named_calls(file, "Depends") if call.args]
    dependencies = [node.id for node in asked if isinstance(node, ast.Name)]
    endpoints = [node.name for file in CODE for node in endpoints_of(file)]

    assert len(dependencies) > 5
    assert len(endpoints) > 20
    assert {plain[name] for name in (*dependencies, *endpoints) if name in plain} == set()


def named_calls(file: Path, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == name:
            yield node


def endpoints_of(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
            isinstance(one, ast.Call)
            and getattr(getattr(one.func, "value", None), "id", "") == "router"
            for one in node.decorator_list
        ):
            yield node
