"""Tests of deciders: given events, when a command, then events."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import pytest

from libs.errors import Refused
from libs.eventsourcing.decider import Decider

State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")


@dataclass(frozen=True)
class Scenario(Generic[State, Command, Event]):
    """An aggregate with a history; start from `Scenario(AGGREGATE)`."""

    aggregate: Decider[State, Command, Event]
    history: tuple[Event, ...] = ()

    def given(self, *events: Event) -> "Scenario[State, Command, Event]":
        """The scenario with these events appended to its history."""
        return Scenario(self.aggregate, (*self.history, *events))

    def when(self, command: Command) -> "Outcome[State, Command, Event]":
        """The outcome of a command after the history."""
        return Outcome(self.aggregate, self.history, command)


@dataclass(frozen=True)
class Outcome(Generic[State, Command, Event]):
    """What a test may expect of a command."""

    aggregate: Decider[State, Command, Event]
    history: tuple[Event, ...]
    command: Command

    def then(self, *expected: Event) -> None:
        """Assert that exactly these events are decided on."""
        assert self._decide() == list(expected)

    def then_nothing(self) -> None:
        """Assert that nothing is decided on."""
        assert self._decide() == []

    def then_refused(self, reason: type[Refused]) -> None:
        """Assert that the command is refused with this exception."""
        with pytest.raises(reason):
            self._decide()

    def _decide(self) -> list[Event]:
        state = self.aggregate.state_after(self.history)
        return self.aggregate.decide(state, self.command)
