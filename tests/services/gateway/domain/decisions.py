"""Tables of decisions: a history, a command, and the events or the refusal that follow."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import pytest

from libs.errors import Refused
from libs.eventsourcing.decider import Decider
from libs.eventsourcing.testing import Scenario

Outcome: TypeAlias = Sequence[Any] | type[Refused]
NOTHING: Sequence[Any] = ()


def decisions(*rows: tuple[str, Sequence[Any], Any, Outcome]) -> pytest.MarkDecorator:
    """Parametrize a test with history, command and outcome; a row begins with its id."""
    table = [pytest.param(*row, id=name) for name, *row in rows]
    return pytest.mark.parametrize(("history", "command", "outcome"), table)


def assert_decides(
    aggregate: Decider[Any, Any, Any], history: Sequence[Any], command: Any, outcome: Outcome
) -> None:
    """The command leads to these events, or is refused for this reason."""
    decision = Scenario(aggregate).given(*history).when(command)
    if isinstance(outcome, type):
        decision.then_refused(outcome)
    else:
        decision.then(*outcome)
