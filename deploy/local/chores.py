"""What is done once before the services start, side by side: topics, migrations."""

import time
from collections.abc import Callable, Iterable
from math import inf

from deploy.local.child import Child, Program, StartTimeout
from deploy.local.download import Tell
from deploy.local.files import tail
from deploy.local.services import Backends, Chore, Service, chore_program, environment
from deploy.local.settings import LocalSettings
from deploy.local.trouble import CannotStart, Interrupted


class Chores:
    """Use as a context manager: leaving it stops whatever has not ended."""

    def __init__(
        self,
        settings: LocalSettings,
        backends: Backends,
        services: tuple[Service, ...],
        tell: Tell,
        forked: Callable[[Program], Program],
    ) -> None:
        self._home = settings.home
        self._env = environment(settings, services, backends)
        self._tell = tell
        self._forked = forked
        self._running: list[Child] = []

    def __enter__(self) -> "Chores":
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._running:
            child.stop(grace_seconds=1.0)

    def begin(self, chores: Iterable[Chore]) -> None:
        """Start them all, without waiting."""
        for chore in chores:
            self._tell(f"{chore.name} …")
            program = chore_program(chore, self._home, self._env)
            self._running.append(Child(self._forked(program)))

    def finish(self, interrupted: Callable[[], bool]) -> None:
        """Wait until all have ended well. Raises `CannotStart` with the end of the log of one that
        failed or exceeded its `StartTimeout`, `Interrupted` if a stop is requested meanwhile.

        A migration may rebuild read models from a long log: it may take as long as it goes on.
        """
        patience = [(child, StartTimeout(child, longest_seconds=inf)) for child in self._running]
        while self._running:
            if interrupted():
                raise Interrupted
            for child, left in patience:
                if child in self._running and (fault := left.fault()):
                    raise _failure(child.program, fault)
            for child in [child for child in self._running if child.exit_code() is not None]:
                if child.exit_code() != 0:
                    raise _failure(child.program, f"failed (exit code {child.exit_code()})")
                self._running.remove(child)
            time.sleep(0.02)


def _failure(program: Program, how: str) -> CannotStart:
    return CannotStart(
        f"`{program.name}` {how}.",
        remedy=f"Its log {program.log_file} ends with:\n{tail(program.log_file)}",
    )
