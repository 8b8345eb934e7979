"""A program that reads an image and writes it anew, without metadata: see `libs.files.images`.

Its argument is the name of the format. It exits with 0, `BROKEN` or `TOO_MANY_PIXELS`; any other
status is a crash or a limit. It imports nothing of ours.
"""

import resource
import sys
from typing import Any, Final

BROKEN: Final = 3
TOO_MANY_PIXELS: Final = 4

MAX_PIXELS: Final = 30_000_000
MAX_DECODED_BYTES: Final = 120_000_000
MAX_SIDE: Final = 16_383
"""The most that WebP can have."""
MEMORY_BYTES: Final = 1024 * 1024 * 1024
PROCESSOR_SECONDS: Final = 20
QUALITY: Final = 88
SMALLEST: Final = {"keep": "none"}


def main(format: str) -> int:
    """Re-encode standard input to standard output; the exit status."""
    _limit_resources()
    data = sys.stdin.buffer.read()
    # Not before the limits are in force.
    import pyvips

    pyvips.block_untrusted_set(True)
    try:
        image = _load(pyvips, format, data)
        if not _is_small_enough(image):
            return TOO_MANY_PIXELS
        encoded = _encoded(_upright_srgb(image), format)
    except pyvips.Error:
        return BROKEN
    sys.stdout.buffer.write(encoded)
    return 0


def _limit_resources() -> None:
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_CPU, PROCESSOR_SECONDS)
    # It has no reason to write files.
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)


def _limit(kind: int, value: int) -> None:
    _, most = resource.getrlimit(kind)
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(kind, (value, value))


def _load(pyvips: Any, format: str, data: bytes) -> Any:
    """The image as its header describes it; pixels are decoded when they are needed.

    Missing or wrong data is an error, but not what decoders only warn of: cameras do such things.
    Of an animation it is the first frame.
    """
    options = {"fail_on": "error", "access": "sequential"}
    match format:
        case "JPEG":
            return pyvips.Image.jpegload_buffer(data, **options)
        case "PNG":
            return pyvips.Image.pngload_buffer(data, **options)
        case "GIF":
            return pyvips.Image.gifload_buffer(data, n=1, **options)
        case _:
            return pyvips.Image.webpload_buffer(data, n=1, **options)


def _is_small_enough(image: Any) -> bool:
    width: int = image.width
    height: int = image.height
    bands: int = image.bands
    sample_bytes = 2 if image.format == "ushort" else 1
    return (
        max(width, height) <= MAX_SIDE
        and width * height <= MAX_PIXELS
        and width * height * bands * sample_bytes <= MAX_DECODED_BYTES
    )


def _upright_srgb(image: Any) -> Any:
    """The pixels as they are to be shown: what metadata say of them is applied."""
    # Rotations need all pixels at once.
    image = image.copy_memory().autorot()
    if image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb", embedded=True)
    elif image.interpretation not in ("srgb", "b-w"):
        image = image.colourspace("srgb")
    return image.cast("uchar")


def _encoded(image: Any, format: str) -> bytes:
    match format:
        case "JPEG":
            encoded = image.jpegsave_buffer(Q=QUALITY, optimize_coding=True, **SMALLEST)
        case "WEBP":
            encoded = image.webpsave_buffer(Q=QUALITY, **SMALLEST)
        case _:
            encoded = image.pngsave_buffer(**SMALLEST)
    return bytes(encoded)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
