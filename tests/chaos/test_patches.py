"""Every patch changes what it means: code that the libraries run, and nothing that is not there."""

import inspect
import sys
from collections.abc import Iterator
from copy import copy
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, TypeAlias

import pytest

from libs.messaging import relay
from tests.chaos import patches
from tests.chaos.patches import PATCHES, SCHEMA

Definitions: TypeAlias = dict[tuple[Any, str], Any]

OF_SCHEMA_ALONE: Final = {"top level ids", "versions"}


def modules() -> list[ModuleType]:
    """The libraries' modules that are imported."""
    return [module for name, module in sys.modules.items() if name.startswith("libs.")]


def definitions() -> Definitions:
    """What the libraries' modules and classes define and import, by owner and name."""
    owners: list[Any] = modules()
    for module in modules():
        classes = (one for one in vars(module).values() if inspect.isclass(one))
        owners += [one for one in classes if one.__module__ == module.__name__]
    return {
        (owner, name): copy(value) if isinstance(value, dict) else value
        for owner in owners
        for name, value in vars(owner).items()
        if not name.startswith("__")
    }


@pytest.fixture
def before() -> Iterator[Definitions]:
    """The definitions as they are; they are so again after the test."""
    defined = definitions()
    yield defined
    for (owner, name), now in definitions().items():
        if (owner, name) not in defined:
            delattr(owner, name)
        elif isinstance(now, dict):
            vars(owner)[name].update(defined[owner, name])
        elif now is not defined[owner, name]:
            setattr(owner, name, defined[owner, name])


def is_changed(value: Any, before: Any) -> bool:
    """Whether another object was put there, or a table of texts has other texts."""
    if not isinstance(value, dict):
        return value is not before
    # Only texts are compared: a clause of SQLAlchemy has no truth of its own.
    return value.keys() != before.keys() or any(
        one is not before[key] and not (isinstance(one, str) and one == before[key])
        for key, one in value.items()
    )


def names_read() -> set[str]:
    """The names that functions of the libraries read from modules and objects."""
    found: set[str] = set()
    for value in definitions().values():
        function: Any = value.fget if isinstance(value, property) else value
        function = inspect.unwrap(getattr(function, "__func__", function))
        if isinstance(function, FunctionType) and function.__module__.startswith("libs."):
            found |= names_of(function.__code__)
    return found


def names_of(code: CodeType) -> set[str]:
    """The names in a function's code, with those of functions inside it."""
    inner = [names_of(one) for one in code.co_consts if isinstance(one, CodeType)]
    return set(code.co_names).union(*inner)


@pytest.mark.parametrize("name", sorted(PATCHES))
def test_a_patch_replaces_what_the_libraries_use(before: Definitions, name: str) -> None:
    used = names_read()

    PATCHES[name]()

    after = definitions()
    assert after.keys() == before.keys(), "it makes up a definition"
    changed = {key[1] for key, value in after.items() if is_changed(value, before[key])}
    assert bool(changed) is (name not in OF_SCHEMA_ALONE)
    assert changed <= used


def test_what_is_no_function_is_switched_off_in_the_database() -> None:
    assert {*SCHEMA} >= OF_SCHEMA_ALONE
    assert {*SCHEMA} <= {*PATCHES}


@pytest.mark.parametrize(("old", "times"), [("WHERE", 0), ("a", 2)])
def test_a_text_that_does_not_occur_once_is_no_patch(old: str, times: int) -> None:
    with pytest.raises(AssertionError, match=f"occurs {times} times"):
        patches._replaced("a b a", old, "c")


def test_a_definition_that_does_not_exist_is_no_patch() -> None:
    with pytest.raises(AssertionError, match="does not define or import _LEAD"):
        patches._set(relay, "_LEAD", "")
