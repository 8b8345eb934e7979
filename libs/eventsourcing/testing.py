"""Given events, when a command, then events."""

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
        """The scenario in which these events have happened too."""
        return Scenario(self.aggregate, (*self.history, *events))

    def when(self, command: Command) -> "Outcome[State, Command, Event]":
        """The moment the command arrives."""
        return Outcome(self.aggregate, self.history, command)


@dataclass(frozen=True)
class Outcome(Generic[State, Command, Event]):
    """What may be expected of a command."""

    aggregate: Decider[State, Command, Event]
    history: tuple[Event, ...]
    command: Command

    def then(self, *expected: Event) -> None:
        """It decides exactly these events."""
        assert self._decide() == list(expected)

    def then_nothing(self) -> None:
        """It is already so."""
        assert self._decide() == []

    def then_refused(self, reason: type[Refused]) -> None:
        """It says no, for this reason."""
        with pytest.raises(reason):
            self._decide()

    def _decide(self) -> list[Event]:
        state = self.aggregate.state_after(self.history)
        return self.aggregate.decide(state, self.command)
