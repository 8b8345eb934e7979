"""The fields that requests and responses of the stock share."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from fastapi import Path
from pydantic import AfterValidator, BeforeValidator, Field

from libs.errors import Refused
from libs.http.shapes import ErrorRow, MakeRow, Scope
from services.shop.staff.adapters import Directory
from services.shop.stock.domain.category import CategoryNameTaken
from services.shop.stock.domain.commands import StockExceeded
from services.shop.stock.domain.pricing import rounded

MOST: Final = 1_000_000
"""The most stems of a batch."""
MOST_TENGE: Final = 1_000_000_000
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2100


def _plain(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain NUL characters")
    return value


def _blank_free(value: str) -> str:
    return " ".join(_plain(value).split())


def _in_range(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year < LAST_YEAR:
        raise ValueError(f"must be between the years {FIRST_YEAR} and {LAST_YEAR}")
    return moment


def _whole_day(value: Any) -> Any:
    """A date is the first moment of its day."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 -- the shop's zone
    return value


def _whole(value: Any) -> Any:
    """A fraction is rounded half up."""
    if isinstance(value, float) and isfinite(value):
        return rounded(Decimal(str(value)))
    return value


Id = Annotated[int, Path(ge=1, lt=2**63)]
Name = Annotated[str, AfterValidator(_blank_free), Field(min_length=1, max_length=200)]
Text = Annotated[str, AfterValidator(_plain), Field(max_length=1000)]
Search = Annotated[str, AfterValidator(_plain), Field(max_length=200)]
Currency = Literal["USD", "EUR", "KZT"]
Tenge = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=MOST_TENGE)]
"""Whole tenge; a fraction is rounded half up."""
Rate = Annotated[Decimal, Field(gt=0, le=MOST)]
Cost = Annotated[Decimal, Field(ge=0, le=MOST)]
Moment = Annotated[datetime, BeforeValidator(_whole_day), AfterValidator(_in_range)]


def in_utc(moment: datetime, zone: ZoneInfo) -> datetime:
    """The moment in UTC; without an offset it is one in the shop's zone."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def staff_name(staff: Directory, account_id: str) -> str | None:
    """The name of the member who did something, or the account's id if it is not known."""
    member = staff.by_account(account_id)
    return (member.name if member else account_id) or None


class SupplyEmpty(Refused):
    """В поставке должна быть хотя бы одна позиция"""


def _bad_request(error: Refused, _: Scope) -> ErrorRow:
    return ErrorRow(400, text=str(error))


REFUSALS: Final[Mapping[type[Exception], MakeRow]] = {
    StockExceeded: _bad_request,
    CategoryNameTaken: _bad_request,
    SupplyEmpty: _bad_request,
}
"""The refusals that clients expect as 400 (spec shop §4.4, §4.5)."""
