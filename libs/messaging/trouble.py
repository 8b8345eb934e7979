"""The lasting errors of a component that retries by itself."""

from time import monotonic
from typing import Final

from libs.postgres.error_text import error_text

TOLERATED_SECONDS: Final = 30.0
"""How long retries may fail before the service is not ready."""


class Trouble:
    """The current errors by operation, each with the time of the first failure in a row."""

    def __init__(self) -> None:
        self._errors: dict[str, tuple[str, float]] = {}

    def note(self, name: str, error: BaseException | str) -> None:
        """Record that the operation `name` failed."""
        text = error if isinstance(error, str) else error_text(error)
        since = self._errors[name][1] if name in self._errors else monotonic()
        self._errors[name] = text, since

    def clear(self, name: str) -> None:
        """Record that the operation `name` succeeded."""
        self._errors.pop(name, None)

    def lasting(self, seconds: float = TOLERATED_SECONDS) -> str | None:
        """The error that has lasted longest, if longer than `seconds`."""
        oldest = min(self._errors.values(), key=lambda one: one[1], default=None)
        if oldest is None or monotonic() - oldest[1] < seconds:
            return None
        return oldest[0]
