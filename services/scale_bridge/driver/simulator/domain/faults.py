"""Faults of a simulated scale, and their notation: `name:argument…*times`."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from services.scale_bridge.driver.domain.wire import Step


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault. `steps` are the commands it affects, `times` how often (None: always)."""

    name: str
    steps: frozenset[Step] = frozenset()
    times: int | None = None
    number: int | None = None
    seconds: float = 0.0
    text: str = ""


class BadFault(ValueError):
    """There is no such fault; the message says why."""


Parse: TypeAlias = Callable[[str], Mapping[str, Any]]

_DATA: Final = frozenset({Step.CHUNK, Step.SEND})
_STEP: Final = re.compile(r"(?:FF)?(\w\w)(?:/?(\w\w))?", re.IGNORECASE)
_CODE: Final = re.compile(r"[0-9A-Fa-f]{2}")


def _step(text: str) -> Mapping[str, Any]:
    match = _STEP.fullmatch(text)
    name = "/".join(part for part in match.groups() if part) if match else ""
    try:
        return {"steps": frozenset({Step(name.upper())})}
    except ValueError:
        known = " ".join(Step)
        raise BadFault(f"no command {text!r}; there are {known}") from None


def _times(text: str) -> Mapping[str, Any]:
    if not text.isdecimal() or int(text) < 1:
        raise BadFault(f"{text!r} is no number of times")
    return {"times": int(text)}


def _number(text: str) -> Mapping[str, Any]:
    if text == "inf":
        return {"number": None}
    if not text.isdecimal():
        raise BadFault(f"{text!r} is neither a number nor inf")
    return {"number": int(text)}


def _seconds(text: str) -> Mapping[str, Any]:
    try:
        seconds = float(text)
    except ValueError:
        raise BadFault(f"{text!r} is no number of seconds") from None
    if not 0 <= seconds < 1e6:
        raise BadFault("seconds must be from 0 on, and fewer than a million")
    return {"seconds": seconds}


def _code(text: str) -> Mapping[str, Any]:
    if not _CODE.fullmatch(text):
        raise BadFault(f"{text!r} is no result code in hex, such as CB")
    return {"number": int(text, 16)}


def _text(text: str) -> Mapping[str, Any]:
    return {"text": text}


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault: its effect, its required and its optional arguments."""

    effect: str
    required: tuple[Parse, ...] = ()
    optional: tuple[Parse, ...] = ()
    steps: frozenset[Step] = frozenset()

    def form(self, name: str) -> str:
        """Its notation: `mute:step[:times]`."""
        required = "".join(f":{_name(parse)}" for parse in self.required)
        return name + required + "".join(f"[:{_name(parse)}]" for parse in self.optional)


def _name(parse: Parse) -> str:
    return parse.__name__.strip("_")


KINDS: Final[Mapping[str, FaultKind]] = {
    "pw": FaultKind("7A to everything that carries a password"),
    "busy": FaultKind("C7 to FF14 and FF13/02", steps=frozenset({Step.CREATE, Step.ANNOUNCE})),
    "ac14": FaultKind("AC to FF14"),
    "poll": FaultKind("P times AC on FF15, or for ever (inf)", required=(_number,)),
    "err15": FaultKind("7A on FF15"),
    "hashbusy": FaultKind("the hash is not ready: state 01, zero hash"),
    "hashshort": FaultKind("six bytes in place of the hash"),
    "badhash": FaultKind("a hash that does not match the data"),
    "rcchunk": FaultKind("a chunk with a result code other than 0"),
    "shortchunk": FaultKind("chunk data shorter than its length says"),
    "dupchunk": FaultKind("the same chunk twice"),
    "emptychunk": FaultKind("a chunk without data"),
    "trunc": FaultKind("announces a frame, sends half, closes", optional=(_step,), steps=_DATA),
    "trunchang": FaultKind("sends half a frame, stays open", optional=(_step,), steps=_DATA),
    "fin": FaultKind("closes on a command", required=(_step,)),
    "rst": FaultKind("resets on a command", required=(_step,)),
    "mute": FaultKind(
        "no answer to a command, so many times", required=(_step,), optional=(_times,)
    ),
    "late": FaultKind("answers a command after so many seconds", required=(_step, _seconds)),
    "lostack": FaultKind("processes an upload chunk, does not answer, once", optional=(_times,)),
    "drip": FaultKind("one byte every so many seconds", required=(_seconds,)),
    "huge": FaultKind("length prefix 0x7FFFFFFF", optional=(_step,)),
    "zero": FaultKind("length prefix 0", optional=(_step,)),
    "badjson": FaultKind("the file is no JSON"),
    "badutf8": FaultKind("the file is no UTF-8"),
    "bom": FaultKind("the file begins with a byte order mark"),
    "scalar": FaultKind("the file is one JSON number"),
    "list": FaultKind("the file is a JSON array"),
    "nan": FaultKind("a price is NaN"),
    "dupkeys": FaultKind("a key is repeated in a product"),
    "check2": FaultKind("the check says: failed"),
    "check2msg": FaultKind("the check says: failed, and why", optional=(_text,)),
    "donemsg": FaultKind("the check says: done, with a text, which no driver expects"),
    "check7A": FaultKind("7A to the check"),
    "check3": FaultKind("the check answers an unknown state"),
    "checkinf": FaultKind("the check says for ever: working"),
    "rstend": FaultKind("resets right after the last good answer"),
    "idle": FaultKind("resets after accepting, before the first command"),
    "off": FaultKind(
        "the port is closed (off), or packets are dropped (off:drop)", optional=(_text,)
    ),
    "slow": FaultKind("so many seconds before each answer", required=(_seconds,)),
    "rc": FaultKind("a result code in hex on a command", required=(_step, _code)),
    "badproduct": FaultKind(
        "importing this PLU fails, with a text if one is given", (_text,), (_text,)
    ),
    "lie": FaultKind("says an upload was imported, and imports nothing"),
    "power": FaultKind("the power fails on a command, for so many seconds", (_step,), (_seconds,)),
    "torn": FaultKind("what the power interrupts is half done when it is back"),
}
_ONCE: Final = frozenset({"lostack", "power", "dupchunk"})
_NUMBER_OF_TIMES: Final = re.compile(r"(.*)\*(\d+)", re.DOTALL)


def parse_fault(given: str) -> Fault:
    """Parse `mute:13/09:2`, `poll:inf` or `badhash*1` (only once). Raises BadFault."""
    counted = _NUMBER_OF_TIMES.fullmatch(given)
    name, colon, rest = (counted[1] if counted else given).partition(":")
    kind = KINDS.get(name)
    if kind is None:
        raise BadFault(f"no fault {name!r}; there are {' '.join(KINDS)}")
    most = len(kind.required) + len(kind.optional)
    arguments = rest.split(":", most - 1) if colon and most else [rest] if colon else []
    if not len(kind.required) <= len(arguments) <= most:
        raise BadFault(f"{name} does not take {len(arguments)} arguments")
    fault = Fault(name=name, steps=kind.steps, times=1 if name in _ONCE else None)
    if name == "badproduct":
        return replace(fault, text=":".join(arguments))
    for parse, argument in zip((*kind.required, *kind.optional), arguments, strict=False):
        fault = replace(fault, **parse(argument))
    return replace(fault, **_times(counted[2])) if counted else fault


class Faults:
    """The faults of a scale. One with a number of times disappears after so many."""

    def __init__(self, given: Iterable[Fault | str] = ()) -> None:
        self._left: dict[Fault, int | None] = {}
        self.set(given)

    def set(self, given: Iterable[Fault | str]) -> None:
        """Replace the faults. Raises BadFault."""
        faults = [parse_fault(one) if isinstance(one, str) else one for one in given]
        self._left = {fault: fault.times for fault in faults}

    def find(self, name: str, step: Step | None = None) -> Fault | None:
        """The fault of this name, if it affects `step`; does not count as one of its times."""
        for fault, left in self._left.items():
            if fault.name == name and left != 0 and (not fault.steps or step in fault.steps):
                return fault
        return None

    def trigger(self, name: str, step: Step | None = None) -> Fault | None:
        """The fault of this name, if it affects `step`; counts as one of its times."""
        fault = self.find(name, step)
        if fault is not None and (left := self._left[fault]) is not None:
            self._left[fault] = left - 1
        return fault
