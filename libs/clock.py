"""Time is asked for, never assumed: everything that needs the clock is given one."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]
"""Answers the present moment, timezone-aware, in UTC."""


def utc_now() -> datetime:
    """The wall clock in UTC."""
    return datetime.now(UTC)
