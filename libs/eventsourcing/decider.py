"""Aggregates as deciders: an initial state and two pure functions."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Generic, TypeVar

State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")


@dataclass(frozen=True, kw_only=True, slots=True)
class Decider(Generic[State, Command, Event]):
    """An aggregate: the category of its streams, its initial state, decisions and state changes.

    `decide` raises a `libs.errors.Refused` to refuse a command, and returns `[]` if there is
    nothing to change. `evolve` accepts every event and never raises.
    """

    category: str
    initial: State
    decide: Callable[[State, Command], list[Event]]
    evolve: Callable[[State, Event], State]

    def state_after(self, events: Iterable[Event]) -> State:
        """Fold `events`, oldest first."""
        return reduce(self.evolve, events, self.initial)

    def stream(self, id: object) -> str:
        """The name of one aggregate's stream: `<category>-<id>`."""
        return f"{self.category}-{id}"
