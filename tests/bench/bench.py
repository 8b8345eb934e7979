"""What every line is given: how much to do, where, and whom to tell how far it is."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self, TypeAlias, TypeVar

import uvloop

from tests.bench.house import Servers
from tests.bench.measure import Measured, Scale, Side, Tell, interleaved

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    scale: Scale
    servers: Servers
    tell: Tell

    def interleaved(self, *sides: Side) -> list[list[float]]:
        """Samples of every side, taken in turn."""
        return interleaved(self.scale.rounds, self.tell, *sides)


Run: TypeAlias = Callable[[Bench], Iterator[Measured]]
"""Measures; yields rows as soon as they are known, so that a later failure does not lose them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of the table, or a family that is measured together."""

    name: str
    what: str
    run: Run


class Loop:
    """One event loop for all samples of a line, of the kind services run on."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._opened = AsyncExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._opened.aclose())
        self._runner.close()

    def do(self, work: Coroutine[Any, Any, Value]) -> Value:
        return self._runner.run(work)

    def open(self, opened: AbstractAsyncContextManager[Value]) -> Value:
        """Enter it until the loop is left."""
        return self.do(self._opened.enter_async_context(opened))

    def side(self, sample: Callable[[], Coroutine[Any, Any, float]]) -> Side:
        """A side whose sample is taken on this loop."""
        return lambda: self._runner.run(sample())
