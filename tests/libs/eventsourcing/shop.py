"""A small aggregate for tests: a till that is opened, rung and closed."""

from dataclasses import dataclass

from libs.errors import Refused
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.decider import Decider


@dataclass(frozen=True, slots=True)
class Opened:
    """The till may be used."""


@dataclass(frozen=True, slots=True)
class Rung:
    cents: int


@dataclass(frozen=True, slots=True)
class Closed:
    cents: int


@dataclass(frozen=True, slots=True)
class Open:
    """Let it be used."""


@dataclass(frozen=True, slots=True)
class Ring:
    cents: int


@dataclass(frozen=True, slots=True)
class Close:
    """Let it not be used any more."""


class TillClosed(Refused):
    """The till is closed."""


@dataclass(frozen=True, slots=True)
class State:
    open: bool = False
    cents: int = 0


Event = Opened | Rung | Closed
Command = Open | Ring | Close


def decide(state: State, command: Command) -> list[Event]:
    match command:
        case Open():
            return [] if state.open else [Opened()]
        case Ring(cents) if state.open:
            return [Rung(cents)]
        case Close() if state.open:
            return [Rung(0), Closed(state.cents)]
        case _:
            raise TillClosed


def evolve(state: State, event: Event) -> State:
    match event:
        case Opened():
            return State(open=True)
        case Rung(cents):
            return State(open=True, cents=state.cents + cents)
        case Closed():
            return State()


TILL: Decider[State, Command, Event] = Decider(
    category="till", initial=State(), decide=decide, evolve=evolve
)
CODEC: Codec[Event] = Codec([Opened, Rung, Closed])
