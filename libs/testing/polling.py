"""Poll until a condition holds.

All tests have one generous time limit: a test that reaches it has found a defect, not a slow
machine. `TILLSTREAM_TEST_PATIENCE` (seconds) changes it for a run.
"""

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar, overload

Value = TypeVar("Value")

PATIENCE_SECONDS: Final = float(os.environ.get("TILLSTREAM_TEST_PATIENCE", "90"))
"""How long a condition may be false without progress before the test fails."""

LAST_RESORT_SECONDS: Final = 10 * PATIENCE_SECONDS
"""How long a condition may be false while there is progress."""

_POLL_SECONDS: Final = 0.01
_TRUTH: Final[Any] = object()


@overload
async def eventually(
    condition: Callable[[], Awaitable[Value]],
    equals: object = ...,
    *,
    what: str = ...,
    progress: Callable[[], object] | None = ...,
    poll_seconds: float = ...,
) -> Value:
    """The value that an asynchronous condition returns."""


@overload
async def eventually(
    condition: Callable[[], Value],
    equals: object = ...,
    *,
    what: str = ...,
    progress: Callable[[], object] | None = ...,
    poll_seconds: float = ...,
) -> Value:
    """The value that a plain condition returns."""


async def eventually(
    condition: Callable[[], Any],
    equals: object = _TRUTH,
    *,
    what: str = "",
    progress: Callable[[], object] | None = None,
    poll_seconds: float = _POLL_SECONDS,
) -> Any:
    """Poll until the condition's value is true, or equal to `equals`, and return the value.

    `condition` may be a plain or an asynchronous function. The wait goes on while the value of
    `progress` changes, up to `LAST_RESORT_SECONDS`. Raises AssertionError with the description
    `what` and the last value. An AssertionError of the condition counts as a false value.
    """
    value: Any = None
    for _ in _attempts(progress, poll_seconds):
        try:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
        except AssertionError as error:
            value, holds = error, False
        else:
            holds = bool(value) if equals is _TRUTH else value == equals
        if holds:
            return value
        await asyncio.sleep(poll_seconds)
    raise AssertionError(_failure(condition, what, equals, value))


def wait_until(
    condition: Callable[[], Value],
    equals: object = _TRUTH,
    *,
    what: str = "",
    progress: Callable[[], object] | None = None,
    poll_seconds: float = _POLL_SECONDS,
) -> Value:
    """`eventually` for tests without an event loop."""
    value: Any = None
    for _ in _attempts(progress, poll_seconds):
        value = condition()
        if bool(value) if equals is _TRUTH else value == equals:
            return value  # type: ignore[no-any-return]
        time.sleep(poll_seconds)
    raise AssertionError(_failure(condition, what, equals, value))


def _attempts(progress: Callable[[], object] | None, poll_seconds: float) -> Iterator[None]:
    """Yield once per attempt, until there was no progress for too long."""
    started = moved_at = time.monotonic()
    previous = progress() if progress else None
    while True:
        yield
        now = time.monotonic()
        if progress is not None and (current := progress()) != previous:
            previous, moved_at = current, now
        # The polls themselves count: a machine that stopped this process has not waited.
        if now - moved_at > PATIENCE_SECONDS + poll_seconds or now - started > LAST_RESORT_SECONDS:
            return


def _failure(condition: Callable[[], object], what: str, equals: object, last: object) -> str:
    description = what or getattr(condition, "__qualname__", repr(condition))
    expected = "" if equals is _TRUTH else f", expected {equals!r}"
    return f"waited {PATIENCE_SECONDS:g} s for {description}{expected}; the last value is {last!r}"
