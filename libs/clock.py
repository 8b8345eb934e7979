"""The clock: code that needs the time takes a `Clock`, so that tests can set it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]
"""Returns the present moment, timezone-aware, in UTC."""


def utc_now() -> datetime:
    """The wall clock in UTC."""
    return datetime.now(UTC)
