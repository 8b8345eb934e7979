"""Mutations: remove one guard from the code of this process for one test."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

import pytest


@dataclass(frozen=True, slots=True)
class Mutation:
    """Replaces `old`, which occurs once in a text or function of `where`, by `new`.

    `misses` is the test that must fail then, with the parameters of its case `case` if it has some.
    """

    guard: str
    where: Any
    name: str
    old: str
    new: str
    misses: Callable[..., Any]
    case: str = ""

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Apply the mutation. Raises AssertionError unless `old` occurs exactly once."""
        now = getattr(self.where, self.name)
        made = self._replaced(now) if isinstance(now, str) else self._compiled_anew(now)
        monkeypatch.setattr(self.where, self.name, made)

    def arguments(self) -> Mapping[str, Any]:
        """The arguments of the case, without fixtures."""
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
