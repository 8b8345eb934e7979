"""Workbooks for spreadsheet programs, written by a separate process.

Writing one takes long in Python; in this process all other requests would wait for it.
"""

import asyncio
import sys
from asyncio import StreamWriter
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from operator import length_hint
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

import msgspec

from libs.export import workbook_writer
from libs.export.workbook_writer import FILE, LENGTH
from libs.export.workbook_writer import Layout as Layout

Rows: TypeAlias = Sequence[Sequence[str | int]]
"""Rows of values: a text, or in a column of moments the local seconds since 1899-12-30."""

ZIP_HEADER: Final = b"PK\x03\x04\x14\x00\x00\x00\x08\x00"
"""The first bytes of every workbook: the header of a deflated part of a ZIP archive."""
KEEPALIVE_SECONDS: Final = 20.0
PART: Final = 256 * 1024


class WorkbookFailed(Exception):
    """The writing process ended without a workbook."""


class Workbook:
    """A workbook that is being written; see `open_workbook`."""

    def __init__(self, process: Process, folder: "TemporaryDirectory[str]") -> None:
        self._process = process
        self._folder = folder
        self._encode = msgspec.msgpack.Encoder().encode
        self._now = asyncio.get_running_loop().time

    async def file(self, layout: Layout, pages: AsyncIterator[Rows]) -> AsyncIterator[bytes]:
        """The file with these rows, in parts.

        The file is complete only after the last row. Until then one byte of `ZIP_HEADER` is sent
        every `KEEPALIVE_SECONDS`, so that no proxy closes the connection. Raises
        WorkbookFailed.
        """
        await self._send(self._encode(layout))
        beginning, at = iter(ZIP_HEADER), self._now()
        yield _next(beginning)
        async for rows in pages:
            await self._send(self._encode(rows))
            if self._now() - at >= KEEPALIVE_SECONDS:
                yield _next(beginning)
                at = self._now()
        await self._send(b"")
        while not await self._ended():
            yield _next(beginning)
        async for part in self._rest(len(ZIP_HEADER) - length_hint(beginning)):
            yield part

    async def _send(self, frame: bytes) -> None:
        pipe = _pipe(self._process)
        try:
            pipe.write(LENGTH.pack(len(frame)) + frame)
            await pipe.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise WorkbookFailed(f"exit status {await self._process.wait()}") from error

    async def _ended(self) -> bool:
        try:
            status = await asyncio.wait_for(self._process.wait(), KEEPALIVE_SECONDS)
        except TimeoutError:
            return False
        if status:
            raise WorkbookFailed(f"exit status {status}")
        return True

    async def _rest(self, sent: int) -> AsyncIterator[bytes]:
        """The file behind its first `sent` bytes; unlinked first, so it is never left behind."""
        with (Path(self._folder.name) / FILE).open("rb") as file:
            await asyncio.to_thread(self._folder.cleanup)
            if file.read(sent) != ZIP_HEADER[:sent]:
                raise WorkbookFailed("not the expected ZIP header")
            while part := await asyncio.to_thread(file.read, PART):
                yield part


def _next(beginning: Iterator[int]) -> bytes:
    """The next byte, or none at the end."""
    return bytes(islice(beginning, 1))


@asynccontextmanager
async def open_workbook() -> AsyncIterator[Workbook]:
    """A process that writes one workbook; it and its files are removed afterwards.

    It needs up to about 1.2 KB of temporary disk for every row.
    """
    folder = TemporaryDirectory(prefix="tillstream-export-", ignore_cleanup_errors=True)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            workbook_writer.__file__,
            folder.name,
            stdin=PIPE,
            stdout=DEVNULL,
            # Ctrl-C at the terminal goes to this process only, which finishes the export.
            start_new_session=True,
        )
        try:
            yield Workbook(process, folder)
        finally:
            await _terminate(process)
    finally:
        await asyncio.to_thread(folder.cleanup)


async def _terminate(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    pipe = _pipe(process)
    pipe.close()
    await process.wait()
    with suppress(BrokenPipeError, ConnectionResetError):
        await pipe.wait_closed()


def _pipe(process: Process) -> StreamWriter:
    if process.stdin is None:
        raise TypeError("a process without a pipe")
    return process.stdin
