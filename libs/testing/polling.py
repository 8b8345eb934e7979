"""Wait for something to become true, as long as a busy machine may need.

There is one limit for all tests, and it is generous: a limit that is reached means a defect, not a
slow machine. `TILLSTREAM_TEST_PATIENCE` (seconds) changes it for a run.
"""

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar, overload

Value = TypeVar("Value")

PATIENCE_SECONDS: Final = float(os.environ.get("TILLSTREAM_TEST_PATIENCE", "90"))
"""How long a condition may stay false without progress before the test fails."""

LAST_RESORT_SECONDS: Final = 10 * PATIENCE_SECONDS
"""How long it may stay false while progress goes on."""

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
    """Of what is awaited."""


@overload
async def eventually(
    condition: Callable[[], Value],
    equals: object = ...,
    *,
    what: str = ...,
    progress: Callable[[], object] | None = ...,
    poll_seconds: float = ...,
) -> Value:
    """Of a plain function."""


async def eventually(
    condition: Callable[[], Any],
    equals: object = _TRUTH,
    *,
    what: str = "",
    progress: Callable[[], object] | None = None,
    poll_seconds: float = _POLL_SECONDS,
) -> Any:
    """The condition's first value that is true, or that `equals` what is given.

    `condition` may be a plain function or one to await. As long as the value of `progress` changes
    the wait goes on, up to `LAST_RESORT_SECONDS`. Raises AssertionError with `what` was waited for
    and the last value; an AssertionError of the condition itself counts as "not yet".
    """
    value: Any = None
    for _ in _tries(progress, poll_seconds):
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
    raise AssertionError(_never(condition, what, equals, value))


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
    for _ in _tries(progress, poll_seconds):
        value = condition()
        if bool(value) if equals is _TRUTH else value == equals:
            return value  # type: ignore[no-any-return]
        time.sleep(poll_seconds)
    raise AssertionError(_never(condition, what, equals, value))


def _tries(progress: Callable[[], object] | None, poll_seconds: float) -> Iterator[None]:
    """One item per try, until there was no progress for too long."""
    started = moved_at = time.monotonic()
    before = progress() if progress else None
    while True:
        yield
        now = time.monotonic()
        if progress is not None and (current := progress()) != before:
            before, moved_at = current, now
        # The polls themselves count: a machine that stopped this process has not waited.
        if now - moved_at > PATIENCE_SECONDS + poll_seconds or now - started > LAST_RESORT_SECONDS:
            return


def _never(condition: Callable[[], object], what: str, equals: object, last: object) -> str:
    wanted = what or getattr(condition, "__qualname__", repr(condition))
    expected = "" if equals is _TRUTH else f", expected {equals!r}"
    return f"waited {PATIENCE_SECONDS:g} s for {wanted}{expected}; the last value is {last!r}"
