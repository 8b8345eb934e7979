"""Images, and what pretends to be one."""

import struct
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import pyvips

EXIF: Final = b"GPS 50.11 N 8.68 E, Anna's camera"
FORMATS: Final = ("jpg", "png", "gif", "webp")


def gradient(width: int = 64, height: int = 48) -> Any:
    """An image whose columns differ."""
    image = pyvips.Image.xyz(width, height)
    bands = [image[0] * 255 / width, image[1] * 255 / height]
    return bands[0].bandjoin([bands[1], 99]).cast("uchar").copy(interpretation="srgb")


def encoded(suffix: str, image: Any | None = None, **options: Any) -> bytes:
    """The image as a file of the format."""
    return bytes((gradient() if image is None else image).write_to_buffer(f".{suffix}", **options))


def large() -> bytes:
    """A JPEG of some 8 kB."""
    noise = pyvips.Image.gaussnoise(120, 100, mean=128, sigma=30, seed=1)
    return encoded("jpg", noise.cast("uchar").copy(interpretation="b-w"))


def decoded(data: bytes) -> Any:
    """The image of a file."""
    return pyvips.Image.new_from_buffer(data, "")


def with_metadata(suffix: str) -> bytes:
    """An image with a comment of its camera, turned to its side."""
    image = gradient().copy()
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-ImageDescription", EXIF.decode())
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    return encoded(suffix, image)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    sum_ = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", sum_)


def png(width: int, height: int, rows: bytes, *more: bytes) -> bytes:
    """A grey PNG of raw rows, with further chunks."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [chunk(b"IHDR", head), *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


HTML: Final = b"<!DOCTYPE html><script>alert(document.domain)</script>"
SVG: Final = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'


def hostile() -> Mapping[str, bytes]:
    """Files that must be refused, by names that say what they are, with the suffix they claim."""
    return {
        "page.jpg": HTML,
        "vector.png": SVG,
        "vector-with-preamble.jpg": b'<?xml version="1.0"?>' + SVG,
        "empty.png": b"",
        "only-magic.jpg": b"\xff\xd8\xff",
        "magic-and-page.jpg": b"\xff\xd8\xff\xe0" + HTML,
        "magic-and-page.gif": b"GIF89a" + HTML,
        "magic-and-page.webp": b"RIFF\x00\x00\x00\x00WEBP" + HTML,
        "magic-and-page.png": b"\x89PNG\r\n\x1a\n" + HTML,
        "truncated.jpg": encoded("jpg")[:-200],
        "truncated.png": encoded("png")[:-100],
        "truncated.webp": encoded("webp")[:-50],
        "truncated.gif": encoded("gif")[:-300],
        "huge.png": png(10_000, 10_000, b"\0" * 10_001 * 10_000),
        "huge-by-its-head.png": png(2**31 - 1, 2**31 - 1, b""),
        "wide.png": png(20_000, 1, b"\0" * 20_001),
        "bad-checksum.png": encoded("png").replace(b"IDAT", b"IDAX"),
        "program.jpg": b"\x7fELF" + b"\0" * 100,
        "document.png": b"%PDF-1.7\n" + b"x" * 100,
    }


async def in_chunks(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    """The bytes as they arrive."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
