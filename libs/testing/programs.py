"""Commands of a service as processes of their own."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from re import Match, Pattern

from libs.testing.polling import eventually


class Program:
    """A process, and all that it printed."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.output = b""
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while chunk := await self.process.stdout.read(4096):
            self.output += chunk

    async def printed(self, pattern: Pattern[bytes]) -> Match[bytes]:
        """Wait for something to be printed."""

        def search() -> Match[bytes] | None:
            found = pattern.search(self.output)
            assert found or not self._reading.done(), self.output
            return found

        found = await eventually(search, what=f"{pattern.pattern!r} in the output")
        assert found
        return found

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit status."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for the end; the exit status."""
        await self._reading
        return await self.process.wait()


@asynccontextmanager
async def run_program(service: str, *arguments: str) -> AsyncIterator[Program]:
    """A command of `services.<service>`; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"services.{service}", *arguments),
        stdout=PIPE,
        stderr=STDOUT,
        env={**os.environ, "COLUMNS": "200"},
    )
    program = Program(process)
    try:
        yield program
    finally:
        await program.stop(signal.SIGKILL)
