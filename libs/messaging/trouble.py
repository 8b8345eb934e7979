"""What is wrong with something that retries by itself, and for how long it has been."""

from time import monotonic
from typing import Final

TOLERATED_SECONDS: Final = 30.0
"""How long something may be retried before its service is not ready."""


class Trouble:
    """Errors under names; each is as old as the first of an unbroken row of them."""

    def __init__(self) -> None:
        self._errors: dict[str, tuple[str, float]] = {}

    def note(self, name: str, error: BaseException | str) -> None:
        """It failed, again or for the first time."""
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        since = self._errors[name][1] if name in self._errors else monotonic()
        self._errors[name] = text, since

    def clear(self, name: str) -> None:
        """It succeeded."""
        self._errors.pop(name, None)

    def lasting(self, seconds: float = TOLERATED_SECONDS) -> str | None:
        """The error that has lasted longest, if longer than so many seconds."""
        oldest = min(self._errors.values(), key=lambda one: one[1], default=None)
        if oldest is None or monotonic() - oldest[1] < seconds:
            return None
        return oldest[0]
