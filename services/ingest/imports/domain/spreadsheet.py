"""The text or the time of a spreadsheet's cell; a value that was lost is refused."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from libs.export.cells import (
    SPOILT,
    is_truncated,
    unescape_formula,
    unwrap_barcode,
)

DAY_ZERO: Final = datetime(1899, 12, 30)  # noqa: DTZ001 -- sheets know no zones
"""Day 0 of spreadsheets, unless a workbook has another one."""

_NUMBER: Final = re.compile(
    r"[+-]?\d+(?:[.,]\d+)?E[+-]\d+|\d{6,}[.,]0+|\d{1,3}(?:[ \xa0\u202f]\d{3}){2,}"
    r"|#(?:REF!|N/A|VALUE!|NAME\?|DIV/0!|NUM!|NULL!|ССЫЛКА!|Н/Д|ЗНАЧ!|ИМЯ\?|ДЕЛ/0!|ЧИСЛО!|ПУСТО!|##+)",
    re.IGNORECASE,
)
"""A long number or an error as a spreadsheet shows it instead of a barcode."""
_WHOLE: Final = re.compile(r"[1-9]\d*", re.ASCII)
_STORED_DIGITS, _DISPLAYED_DIGITS, _DISPLAYED_IN_FULL = 15, 6, 11
"""Spreadsheets store 15 digits of a number, and display 6 of one with more than 11."""
_RUSSIAN: Final = re.compile(
    r"(\d{1,2})\.(\d{1,2})\.(\d{4}),?[ T]+(\d{1,2}):(\d{2}):(\d{2})", re.ASCII
)
_ISO: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})?", re.ASCII
)
_NO_SECONDS: Final = re.compile(
    r"(?:\d{1,2}\.\d{1,2}\.\d{4},?|\d{4}-\d{2}-\d{2})[ T]+\d{1,2}:\d{2}", re.ASCII
)
_UNIX_MS: Final = re.compile(r"\d{12,14}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS: Final = range(1, 2_958_466)
"""The day numbers of spreadsheets, to the end of the year 9999."""
_MILLISECONDS: Final = range(10**11, 10**14)
_EXACT: Final = 2**53


@dataclass(frozen=True, slots=True)
class Lost:
    """A cell whose value is not in the file. `why` continues a sentence after the column's name.

    Without `code` only the column is lost, with it the whole row. `text` is the rest of the value,
    for people.
    """

    why: str
    code: str | None = None
    text: str = ""


Cell: TypeAlias = "str | int | float | datetime | Lost | None"


class Unfit(ValueError):
    """A cell has no valid value for its column; `code` is stable, the message for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def is_blank(cell: Cell) -> bool:
    """Whether the cell is empty or only space."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def text_of(cell: Cell, column: str, *, escaped: bool) -> str:
    """The text of a cell. `escaped`: texts of this table may be escaped (`cell.escape_formula`).

    Whole numbers keep all their digits. Raises Unfit if a spreadsheet has replaced the text by a
    date, an error, a boolean, or a number that may be rounded.
    """
    match cell:
        case None:
            return ""
        case str():
            return _unescaped(cell, column) if escaped else _untruncated(cell, column)
        case bool():
            raise Unfit("became_a_truth_value", f"{column} was turned into a truth value")
        case int() | float():
            return _digits(cell, column)
        case datetime():
            raise Unfit("became_a_date", f"{column} was turned into a date by a spreadsheet")
        case Lost():
            raise Unfit(cell.code or "no_value", f"{column} {cell.why}")


def code_of(cell: Cell, *, escaped: bool) -> str:
    """The text of a barcode, which may be wrapped by `cell.wrap_barcode`.

    In an `escaped` table a code without the wrapper may be written by a spreadsheet: it is Unfit if
    it looks like a rounded or reformatted number.
    """
    if escaped and isinstance(cell, str):
        if (code := unwrap_barcode(cell)) != cell:
            return code
        bare = cell.strip()
        if _NUMBER.fullmatch(bare) or (_WHOLE.fullmatch(bare) and _is_rounded(bare)):
            raise _rounded("code")
    return text_of(cell, "code", escaped=escaped)


def _unescaped(cell: str, column: str) -> str:
    if cell.startswith(SPOILT):
        raise Unfit("not_mended", f"{column} holds what a spreadsheet has spoilt")
    return unescape_formula(cell)


def _untruncated(cell: str, column: str) -> str:
    if is_truncated(cell):
        raise Unfit("cut_text", f"{column} was too long for a workbook; export it as CSV")
    return cell


def moment_of(cell: Cell, column: str, *, zone: ZoneInfo, day_zero: datetime) -> datetime:
    """The moment in UTC: `dd.MM.yyyy HH:mm:ss`, ISO 8601, a date cell, or Unix milliseconds.

    A time without offset is local time in `zone`; in an hour that the clock repeats it is the first
    one. Raises Unfit for a time without seconds (a spreadsheet has dropped them), for a time that
    the clock skips, and for any other value.
    """
    try:
        if isinstance(cell, str) and _NO_SECONDS.fullmatch(cell.strip()):
            raise Unfit("lost_seconds", f"{column} has no seconds: a spreadsheet has cut them off")
        read = _read(cell, day_zero)
        if read is not None:
            return _in_utc(read, zone)
    except Unfit:
        raise
    except (ValueError, OverflowError):
        pass
    raise Unfit("bad_time", f"{column} is not a time such as 31.10.2025 08:02:05")


def moment_at(number: float, day_zero: datetime) -> datetime:
    """The local time of a number of days since `day_zero`. Raises ValueError if it is no date."""
    if not _DAYS.start <= number < _DAYS.stop:
        raise ValueError("no day that spreadsheets know")
    return day_zero + timedelta(milliseconds=round(number * 86_400_000))


def _read(cell: Cell, day_zero: datetime) -> datetime | None:
    match cell:
        case bool():
            return None
        case int() | float() if _DAYS.start <= cell < _DAYS.stop:
            return moment_at(cell, day_zero)
        case int() | float() if _MILLISECONDS.start <= cell < _MILLISECONDS.stop:
            return _EPOCH + timedelta(milliseconds=int(cell))
        case datetime():
            return cell
        case str():
            return _read_text(cell.strip())
        case _:
            return None


def _read_text(text: str) -> datetime | None:
    if match := _RUSSIAN.fullmatch(text):
        day, month, year, hour, minute, second = map(int, match.groups())
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001
    if _ISO.fullmatch(text):
        return datetime.fromisoformat(text)
    if _UNIX_MS.fullmatch(text):
        return _EPOCH + timedelta(milliseconds=int(text))
    return None


def _in_utc(moment: datetime, zone: ZoneInfo) -> datetime:
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    in_utc = moment.replace(tzinfo=zone).astimezone(UTC)
    if in_utc.astimezone(zone).replace(tzinfo=None) != moment:
        raise Unfit("no_such_time", "the clock was put forward over this time; it never was")
    return in_utc


def _digits(number: float, column: str) -> str:
    if isinstance(number, float):
        if not abs(number) <= _EXACT:  # neither are infinity and NaN
            raise _rounded(column)
        if not number.is_integer():
            raise Unfit("became_a_number", f"{column} was turned into a number by a spreadsheet")
    digits = str(int(number))
    if _is_rounded(digits.removeprefix("-")):
        raise _rounded(column)
    return digits


def _is_rounded(digits: str) -> bool:
    """Whether zeros at the end of a whole number may replace lost digits."""
    significant = len(digits.rstrip("0"))
    if len(digits) > _STORED_DIGITS:
        return significant <= _STORED_DIGITS
    return len(digits) > _DISPLAYED_IN_FULL and significant <= _DISPLAYED_DIGITS


def _rounded(column: str) -> Unfit:
    return Unfit("lost_digits", f"{column} was rounded by a spreadsheet; its digits are lost")
