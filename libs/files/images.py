"""Images that people upload: recognised by their first bytes, and re-encoded by another process.

Only what a decoder understood as an image is encoded anew, so metadata (EXIF, GPS), appended data
and files that are also something else do not survive. Decoders are large programs that read hostile
bytes: they run in a process with limits of memory and time, of which only a few run at once.

JPEG stays JPEG and WebP stays WebP; PNG and GIF become PNG. Of an animation the first frame stays.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final

import structlog

from libs.errors import Refused, Unavailable
from libs.files import reencode

PROGRAM: Final = Path(reencode.__file__)
AT_ONCE: Final = 2
SECONDS = 30.0
"""The longest time that an image may take, beside the limit of the processor's time."""
WAIT_SECONDS: Final = 20.0
"""How long an image waits for its turn."""

log = structlog.get_logger(__name__)


class ImageFormat(StrEnum):
    """A format of images, and the media type."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    GIF = "image/gif"
    WEBP = "image/webp"

    @property
    def becomes(self) -> "ImageFormat":
        """The format in which it is stored."""
        return ImageFormat.PNG if self is ImageFormat.GIF else self

    @property
    def suffix(self) -> str:
        """The suffix of file names."""
        return next(suffix for suffix, one in SUFFIXES.items() if one is self)


SUFFIXES: Final = {
    ".jpg": ImageFormat.JPEG,
    ".jpeg": ImageFormat.JPEG,
    ".png": ImageFormat.PNG,
    ".gif": ImageFormat.GIF,
    ".webp": ImageFormat.WEBP,
}


class NotAnImage(Refused):
    """Only images can be uploaded: JPEG, PNG, GIF or WebP."""


class ImageBroken(NotAnImage):
    """The image is damaged or incomplete."""


class NameMisleads(NotAnImage):
    """The name of the file has the suffix of another format."""


class TooManyPixels(NotAnImage):
    """The image has too many pixels."""


@dataclass(frozen=True, slots=True)
class Image:
    """A re-encoded image."""

    format: ImageFormat
    data: bytes


def format_of(data: bytes) -> ImageFormat | None:
    """The format by the first bytes; None for anything else, also for SVG."""
    if data.startswith(b"\xff\xd8\xff"):
        return ImageFormat.JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return ImageFormat.PNG
    if data.startswith((b"GIF87a", b"GIF89a")):
        return ImageFormat.GIF
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return ImageFormat.WEBP
    return None


def check_name(name: str, format: ImageFormat | None) -> None:
    """Check that a file's name is that of an image, of the format if that is known.

    Raises NotAnImage, NameMisleads.
    """
    named = SUFFIXES.get(PurePosixPath(name.lower()).suffix)
    if named is None:
        raise NotAnImage
    if format is not None and named is not format:
        raise NameMisleads(f"The file is named {named.suffix}, but it is {format.suffix}.")


class ImageReencoder:
    """Re-encodes images, `at_once` of them at a time."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._slots = asyncio.Semaphore(at_once)

    async def reencode(self, data: bytes) -> Image:
        """The same image without anything else. Safe to repeat.

        Raises NotAnImage, ImageBroken, TooManyPixels; Unavailable if too many others wait.
        """
        image_format = format_of(data)
        if image_format is None:
            raise NotAnImage
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._slots.acquire()
        except TimeoutError as error:
            raise Unavailable("image processing") from error
        try:
            return Image(image_format.becomes, await _run(image_format, data))
        finally:
            self._slots.release()


async def _run(format: ImageFormat, data: bytes) -> bytes:
    # Isolated: neither the environment nor the working folder decides what is imported.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(PROGRAM), format.name),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={"VIPS_CONCURRENCY": "1", "PATH": os.defpath},
    )
    try:
        async with asyncio.timeout(SECONDS):
            encoded, complaint = await process.communicate(data)
    except TimeoutError:
        raise ImageBroken from None
    finally:
        await _terminate(process)
    return _result(process.returncode, encoded, complaint)


async def _terminate(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


def _result(status: int | None, encoded: bytes, complaint: bytes) -> bytes:
    if status == reencode.TOO_MANY_PIXELS:
        most = reencode.MAX_PIXELS // 1_000_000
        raise TooManyPixels(f"The image has too many pixels: {most} million are allowed.")
    if status == reencode.BROKEN:
        raise ImageBroken
    if status or not encoded:
        # It was ended by a limit, or crashed: hostile bytes, or a fault of the installation.
        last_line = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        log.warning("image not re-encoded", status=status, error=last_line[:200])
        raise ImageBroken
    return encoded
