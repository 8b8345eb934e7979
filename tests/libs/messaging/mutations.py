"""Guards that are taken out of the code of this process, one at a time, until a test is over."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

import pytest


@dataclass(frozen=True, slots=True)
class Mutation:
    """`old` stands once in a text or a function of `where`, and becomes `new`.

    `misses` is the test that must fail then, of which the case `case` if it has several.
    """

    guard: str
    where: Any
    name: str
    old: str
    new: str
    misses: Callable[..., Any]
    case: str = ""

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the guard out. Raises AssertionError if the code it means is not there."""
        now = getattr(self.where, self.name)
        made = self._replaced(now) if isinstance(now, str) else self._compiled_anew(now)
        monkeypatch.setattr(self.where, self.name, made)

    def arguments(self) -> Mapping[str, Any]:
        """What the case is called with, beside fixtures."""
        marks: list[pytest.Mark] = getattr(self.misses, "pytestmark", [])
        for mark in marks:
            if mark.name == "parametrize":
                names, cases = mark.args
                return dict(zip(names, cases[mark.kwargs["ids"].index(self.case)], strict=True))
        return {}

    def _replaced(self, text: str) -> str:
        times = text.count(self.old)
        assert times == 1, f"{self.old!r} stands {times} times in {self.name}"
        assert self.new != self.old, f"{self.old!r} is left in {self.name}"
        return text.replace(self.old, self.new)

    def _compiled_anew(self, function: Any) -> Any:
        source = self._replaced(dedent(inspect.getsource(function)))
        made: dict[str, Any] = {}
        code = compile(source, function.__code__.co_filename, "exec")
        exec(code, function.__globals__, made)
        return made[function.__name__]
