"""The status of a device on the board: one word, and a sentence with the reason."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.scale_bridge.transfer.domain import failure_texts
from services.scale_bridge.transfer.domain.kinds import SUCCEEDED, Outcome

UNREACHABLE: Final = frozenset({"Unreachable", "Timeout", "Disconnected", "BadAnswer"})
"""Codes of operations to which the scale gave no valid answer."""
NOT_TRIED: Final = frozenset(
    {
        failure_texts.BUSY,
        failure_texts.CIRCUIT_OPEN,
        failure_texts.NOT_BEGUN,
        failure_texts.NO_REPORT,
        failure_texts.PROGRAM_FAULT,
        failure_texts.EDITED_MEANWHILE,
        failure_texts.INTERRUPTED,
        failure_texts.NOTHING_CACHED,
        failure_texts.PASSWORD_LOST,
        failure_texts.BAD_ADDRESS,
        failure_texts.DEVICE_UNKNOWN,
        failure_texts.MOVED,
        "Overloaded",
    }
)
"""Codes of operations that say nothing about the scale: it was not reached, or not to the end."""
NOT_SHOWN: Final = failure_texts.NOT_SHOWN
WRONG_PASSWORD: Final = "WrongPassword"  # noqa: S105 -- a code


class State(StrEnum):
    """The statuses of a device, the worst first, as a board lists them."""

    LYING = "lying"
    WRONG_PASSWORD = "wrong password"  # noqa: S105 -- a word
    UNREACHABLE = "unreachable"
    DIRTY = "dirty"
    UNKNOWN = "unknown"
    OK = "ok"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """The end of an operation."""

    outcome: str
    code: str
    detail: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceFacts:
    """The facts about a device that decide its status.

    `valid`: it was read since its address last changed. `revision` is the present catalogue,
    `confirmed` the last one it confirmed. `caught`: it showed something else than it was just sent,
    and never its catalogue since; `caught_by` is that operation's detail. `pending` products are
    shown otherwise than desired. `last` is the last operation that reached for it, `last_exchange`
    the end of the last one it completed.
    """

    valid: bool = False
    revision: int = 0
    confirmed: int | None = None
    caught: bool = False
    caught_by: str = ""
    pending: int = 0
    last: Ended | None = None
    last_exchange: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """The status, and a sentence with the reason."""

    state: State
    reason: str


def device_status(facts: DeviceFacts) -> DeviceStatus:
    """The status of a device by its last operation and its catalogue."""
    last = facts.last
    if last is not None and last.code == WRONG_PASSWORD:
        return DeviceStatus(State.WRONG_PASSWORD, failure_texts.sentence(WRONG_PASSWORD))
    if last is not None and last.code in UNREACHABLE:
        return DeviceStatus(State.UNREACHABLE, last.detail or failure_texts.sentence(last.code))
    if facts.caught:
        reason = facts.caught_by or failure_texts.sentence(NOT_SHOWN)
        return DeviceStatus(State.LYING, f"{reason}{_differing(facts.pending)}")
    if facts.last_exchange is None:
        return DeviceStatus(State.UNKNOWN, "Обмена с весами ещё не было.")
    if not facts.valid:
        return DeviceStatus(State.UNKNOWN, "Каталог не загружен с весов по нынешнему адресу.")
    if facts.confirmed != facts.revision:
        return DeviceStatus(State.DIRTY, _dirty(facts))
    return DeviceStatus(State.OK, "Весы подтвердили всё, что должны показывать.")


def _differing(pending: int) -> str:
    return f" Отличается товаров: {pending}." if pending else ""


def _dirty(facts: DeviceFacts) -> str:
    last, differing = facts.last, _differing(facts.pending)
    if last is not None and last.outcome not in SUCCEEDED and last.detail:
        ended = "закончилась неизвестно чем" if last.outcome == Outcome.UNKNOWN else "не удалась"
        return f"Последняя операция {ended}: {last.detail}{differing}"
    return f"Есть неотправленные изменения.{differing}"
