"""Tables of decisions: after a history, a command, and what is decided or why it is refused."""

from collections.abc import Sequence
from typing import Any

import pytest

from libs.eventsourcing.decider import Decider
from libs.eventsourcing.testing import Scenario


def row(sentence: str, history: Sequence[Any], command: Any, *then: Any) -> Any:
    """One case: `then` are events in their order (none: nothing changes), or a reason to refuse."""
    return pytest.param(history, command, then, id=sentence)


def decisions(aggregate: Decider[Any, Any, Any], *rows: Any) -> Any:
    """A test of an aggregate, with a case for each row."""

    @pytest.mark.parametrize(("history", "command", "then"), rows)
    def decide(history: Sequence[Any], command: Any, then: Sequence[Any]) -> None:
        outcome = Scenario(aggregate).given(*history).when(command)
        if isinstance(then[0] if then else None, type):
            outcome.then_refused(then[0])
        else:
            outcome.then(*then)

    return decide
