"""Starting children and seeing what becomes of them."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

import psutil

from libs.testing.waiting import eventually
from tests.chaos.child import Role, live
from tests.chaos.plan import NeverStruck

# Children are forked from a process that has imported everything and does nothing else.
_fork = multiprocessing.get_context("forkserver")
# What the child would import again because it is the parent's main program.
_PRELOAD: Final = ["tests.chaos.child", *(["pytest"] if "pytest" in sys.modules else [])]


class Member:
    """One child."""

    def __init__(self, role: Role) -> None:
        """Start it."""
        _fork.set_forkserver_preload(_PRELOAD)
        self.role = role
        self._process = _fork.Process(target=live, args=(role,), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, or at least exists."""
        return self._process.exitcode is None

    async def died(self) -> None:
        """Wait until its fail point killed it. Raises NeverStruck."""
        await self._until(lambda: not self.alive)
        if self._process.exitcode != -signal.SIGKILL:
            raise NeverStruck(f"{self._said} ended with {self._process.exitcode}")

    async def stopped(self) -> None:
        """Wait until its fail point stopped it. Raises NeverStruck."""
        await self._until(lambda: psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    async def end(self) -> None:
        """An orderly stop. Raises NeverStruck if it does not come about."""
        if self.alive:
            os.kill(self.pid, signal.SIGTERM)
        await self._until(lambda: not self.alive)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, whether it runs or is stopped, and wait until it is gone."""
        self._process.kill()
        self._process.join()

    async def _until(self, happened: Callable[[], bool]) -> None:
        try:
            await eventually(happened)
        except AssertionError as error:
            raise NeverStruck(f"{self._said} goes on") from error

    @property
    def _said(self) -> str:
        role = self.role
        return f"{'+'.join(role.parts)} {self.pid} with {role.failpoint or 'no fail point'}"
