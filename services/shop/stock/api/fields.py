"""The fields that requests and responses of the stock share."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from fastapi import Path
from pydantic import AfterValidator, BeforeValidator, Field

from services.shop.staff.adapters import Directory

MOST: Final = 1_000_000
"""The most stems of a batch."""
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2100


def plain(value: str) -> str:
    """Refuse what the log cannot hold: NUL characters, and halves of characters."""
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("must be Unicode without NUL characters")
    return value


def _blank_free(value: str) -> str:
    return " ".join(plain(value).split())


def _in_range(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year < LAST_YEAR:
        raise ValueError(f"must be between the years {FIRST_YEAR} and {LAST_YEAR}")
    return moment


def _whole_day(value: Any) -> Any:
    """A date is the first moment of its day."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 -- the shop's zone
    return value


Id = Annotated[int, Path(ge=1, lt=2**63)]
Name = Annotated[str, AfterValidator(_blank_free), Field(min_length=1, max_length=200)]
Text = Annotated[str, AfterValidator(plain), Field(max_length=1000)]
Search = Annotated[str, AfterValidator(plain), Field(max_length=200)]
Currency = Literal["USD", "EUR", "KZT"]
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
