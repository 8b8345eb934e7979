"""Decision tables: a history, a command, and the resulting events or refusal."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest

from libs.errors import Refused
from libs.eventsourcing.decider import Decider
from libs.eventsourcing.testing import Scenario

Outcome: TypeAlias = Sequence[Any] | type[Refused]
Row: TypeAlias = tuple[str, Sequence[Any], Any, Outcome]
NOTHING: Sequence[Any] = ()


def row(sentence: str, history: Sequence[Any], command: Any, *then: Any) -> Row:
    """One case: `then` are the events in their order (none: no change), or a type of refusal."""
    refused = bool(then) and isinstance(then[0], type)
    return sentence, history, command, then[0] if refused else then


def decisions(*rows: Row) -> pytest.MarkDecorator:
    """Parametrize a test with history, command and outcome; a row begins with its id."""
    table = [pytest.param(*row, id=name) for name, *row in rows]
    return pytest.mark.parametrize(("history", "command", "outcome"), table)


def assert_decides(
    aggregate: Decider[Any, Any, Any], history: Sequence[Any], command: Any, outcome: Outcome
) -> None:
    """Assert that the command leads to these events, or to this refusal."""
    decision = Scenario(aggregate).given(*history).when(command)
    if isinstance(outcome, type):
        decision.then_refused(outcome)
    else:
        decision.then(*outcome)


def decision_table(aggregate: Decider[Any, Any, Any], *rows: Row) -> Callable[..., None]:
    """A test of an aggregate with one case per row."""

    def decide(history: Sequence[Any], command: Any, outcome: Outcome) -> None:
        assert_decides(aggregate, history, command, outcome)

    parametrized: Callable[..., None] = decisions(*rows)(decide)
    return parametrized
