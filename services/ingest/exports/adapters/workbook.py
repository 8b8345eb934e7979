"""Workbooks for spreadsheet programs, written by a process of their own.

Making one takes much time in Python; in our process every other answer would wait for it.
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

from services.ingest.exports.adapters import workbook_writer
from services.ingest.exports.adapters.workbook_writer import FILE, LENGTH, Column, Layout

__all__ = ["ZIP_HEADER", "Column", "Layout", "Rows", "Workbook", "WorkbookFailed", "open_workbook"]

Rows: TypeAlias = Sequence[Sequence[str | int]]
"""A text or, in a column of moments, seconds since 1899-12-30 in local time for every column."""

ZIP_HEADER: Final = b"PK\x03\x04\x14\x00\x00\x00\x08\x00"
"""What every such file begins with: the head of a deflated first part of an archive."""
SIGN_OF_LIFE_SECONDS: Final = 20.0
PART: Final = 256 * 1024


class WorkbookFailed(Exception):
    """The writing process ended without a workbook."""


class Workbook:
    """A workbook to be written. Get it from `open_workbook`."""

    def __init__(self, process: Process, folder: "TemporaryDirectory[str]") -> None:
        self._process = process
        self._folder = folder
        self._encode = msgspec.msgpack.Encoder().encode
        self._now = asyncio.get_running_loop().time

    async def file(self, layout: Layout, pages: AsyncIterator[Rows]) -> AsyncIterator[bytes]:
        """The file with these rows, in parts.

        It takes shape only when the last row is there. Until then a byte of its beginning, which
        is known, leaves every `SIGN_OF_LIFE_SECONDS`, or whoever is between us and the reader
        would give the connection up. Raises WorkbookFailed.
        """
        await self._send(self._encode(layout))
        beginning, at = iter(ZIP_HEADER), self._now()
        yield _next(beginning)
        async for rows in pages:
            await self._send(self._encode(rows))
            if self._now() - at >= SIGN_OF_LIFE_SECONDS:
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
            status = await asyncio.wait_for(self._process.wait(), SIGN_OF_LIFE_SECONDS)
        except TimeoutError:
            return False
        if status:
            raise WorkbookFailed(f"exit status {status}")
        return True

    async def _rest(self, sent: int) -> AsyncIterator[bytes]:
        """The file behind its first bytes. It has no name any more, so nothing can leave it."""
        with (Path(self._folder.name) / FILE).open("rb") as file:
            await asyncio.to_thread(self._folder.cleanup)
            if file.read(sent) != ZIP_HEADER[:sent]:
                raise WorkbookFailed("not the beginning that was promised")
            while part := await asyncio.to_thread(file.read, PART):
                yield part


def _next(beginning: Iterator[int]) -> bytes:
    """The next byte, or nothing when there is none."""
    return bytes(islice(beginning, 1))


@asynccontextmanager
async def open_workbook() -> AsyncIterator[Workbook]:
    """A process that writes one workbook; it and its files are gone afterwards.

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
            # The interrupt key of a terminal is for us: we finish what we began.
            start_new_session=True,
        )
        try:
            yield Workbook(process, folder)
        finally:
            await _end(process)
    finally:
        await asyncio.to_thread(folder.cleanup)


async def _end(process: Process) -> None:
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
