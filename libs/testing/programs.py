"""Run commands of a service as processes."""

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
    """A process and its output."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.output = b""
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while chunk := await self.process.stdout.read(4096):
            self.output += chunk

    async def wait_for_output(self, pattern: Pattern[bytes]) -> Match[bytes]:
        """Wait until the output matches. Returns the match."""

        def search() -> Match[bytes] | None:
            match = pattern.search(self.output)
            assert match or not self._reading.done(), self.output
            return match

        match = await eventually(search, what=f"{pattern.pattern!r} in the output")
        assert match
        return match

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end. Returns the exit status."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.wait_for_exit()

    async def wait_for_exit(self) -> int:
        """Wait for the end. Returns the exit status."""
        await self._reading
        return await self.process.wait()


@asynccontextmanager
async def run_program(service: str, *arguments: str) -> AsyncIterator[Program]:
    """Run a command of `services.<service>`. It is killed at the end if it still runs."""
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
