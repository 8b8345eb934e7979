"""Images are re-encoded, and nothing but an image gets through."""

import asyncio
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.errors import Unavailable
from libs.files import images
from libs.files.images import (
    ImageBroken,
    ImageFormat,
    ImageReencoder,
    NameMisleads,
    NotAnImage,
    TooManyPixels,
    check_name,
    format_of,
)
from tests.libs.files.pictures import (
    EXIF,
    FORMATS,
    HTML,
    chunk,
    decoded,
    encoded,
    gradient,
    hostile,
    png,
    with_metadata,
)

BECOMES = {"jpg": "jpg", "png": "png", "gif": "png", "webp": "webp"}


@pytest.mark.parametrize("suffix", FORMATS)
async def test_an_image_looks_the_same_afterwards(suffix: str) -> None:
    image = await ImageReencoder().reencode(encoded(suffix))

    assert image.format.suffix == f".{BECOMES[suffix]}"
    assert format_of(image.data) is image.format
    difference = (decoded(image.data)[:3] - gradient()).abs()
    assert difference.avg() < 6


@pytest.mark.parametrize("suffix", ["jpg", "webp", "png"])
async def test_metadata_go_and_the_picture_stands_upright(suffix: str) -> None:
    original = with_metadata(suffix)
    assert EXIF in original

    image = decoded((await ImageReencoder().reencode(original)).data)

    assert (image.width, image.height) == (48, 64)
    assert not [name for name in image.get_fields() if name.startswith(("exif", "icc", "xmp"))]
    assert EXIF not in image.write_to_memory()


@pytest.mark.parametrize("suffix", FORMATS)
async def test_what_is_appended_to_an_image_is_lost(suffix: str) -> None:
    image = await ImageReencoder().reencode(encoded(suffix) + HTML)
    assert HTML not in image.data


@pytest.mark.parametrize("kind", [b"tEXt", b"iTXt", b"eXIf", b"heLl"])
async def test_what_is_hidden_within_an_image_is_lost(kind: bytes) -> None:
    hidden = chunk(kind, b"Comment\0\0\0\0\0" + HTML)
    image = await ImageReencoder().reencode(png(8, 8, b"\0" * 72, hidden))
    assert HTML not in image.data


@pytest.mark.parametrize("where", ["comment", "pixels"])
async def test_data_that_expand_to_hundreds_of_megabytes_do_no_harm(where: str) -> None:
    zeros = b"\0" * 300_000_000
    comment = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(zeros))
    bomb = png(8, 8, zeros) if where == "pixels" else png(8, 8, b"\0" * 72, comment)
    try:
        image = await ImageReencoder().reencode(bomb)
    except ImageBroken:
        return
    assert len(image.data) < 1000


async def test_an_animation_becomes_its_first_frame() -> None:
    frames = gradient().bandjoin(255).join(gradient().invert().bandjoin(255), "vertical").copy()
    frames.set_type(frames.get_typeof("width"), "page-height", 48)
    for suffix in ("gif", "webp"):
        animated = encoded(suffix, frames)
        assert decoded(animated).get("n-pages") == 2
        still = decoded((await ImageReencoder().reencode(animated)).data)
        assert (still.width, still.height) == (64, 48)
        assert "n-pages" not in still.get_fields()


@pytest.mark.parametrize("name", hostile())
async def test_what_is_no_whole_image_of_moderate_size_is_refused(name: str) -> None:
    with pytest.raises(NotAnImage) as refused:
        await ImageReencoder().reencode(hostile()[name])

    kind = TooManyPixels if name.startswith(("huge.", "wide")) else NotAnImage
    assert isinstance(refused.value, kind)


@settings(max_examples=40, deadline=None)
@given(
    data=st.binary(max_size=300),
    start=st.sampled_from([b"", *(encoded(suffix) for suffix in FORMATS)]),
    where=st.floats(0, 1),
    replaces=st.booleans(),
)
async def test_any_bytes_are_refused_or_become_nothing_but_an_image(
    data: bytes, start: bytes, where: float, replaces: bool
) -> None:
    at = round(where * len(start))
    changed = start[:at] + data + start[at + len(data) * replaces :]
    try:
        image = await ImageReencoder().reencode(changed)
    except NotAnImage:
        return
    assert format_of(image.data) is image.format
    # Encoding what was decoded again leaves no room for anything else.
    assert (await ImageReencoder().reencode(image.data)).format is image.format


@pytest.mark.parametrize(
    ("name", "format", "refusal"),
    [
        ("rose.JPG", ImageFormat.JPEG, None),
        ("rose.jpeg", ImageFormat.JPEG, None),
        ("a.b.webp", ImageFormat.WEBP, None),
        ("rose.png", ImageFormat.JPEG, NameMisleads),
        ("rose.jpg.exe", ImageFormat.JPEG, NotAnImage),
        ("rose", None, NotAnImage),
        ("", None, NotAnImage),
        (".jpg", ImageFormat.JPEG, NotAnImage),
        ("rose.svg", None, NotAnImage),
        ("../../rose.png", ImageFormat.PNG, None),
        ("rose.png\0.exe", ImageFormat.PNG, NotAnImage),
    ],
)
def test_the_suffix_of_a_name_must_be_that_of_its_format(
    name: str, format: ImageFormat | None, refusal: type[NotAnImage] | None
) -> None:
    if refusal is None:
        check_name(name, format)
    else:
        with pytest.raises(refusal):
            check_name(name, format)


async def test_only_some_images_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    running = most = 0
    run = images._run

    async def counted(format: ImageFormat, data: bytes) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await run(format, data)
        finally:
            running -= 1

    monkeypatch.setattr(images, "_run", counted)
    reencoder = ImageReencoder(2)
    await asyncio.gather(*(reencoder.reencode(encoded("png")) for _ in range(6)))
    assert most == 2

    monkeypatch.setattr(images, "WAIT_SECONDS", 0.01)
    await reencoder._slots.acquire()
    await reencoder._slots.acquire()
    with pytest.raises(Unavailable):
        await reencoder.reencode(encoded("png"))


async def test_a_decoder_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "SECONDS", 0.001)
    with pytest.raises(ImageBroken):
        await ImageReencoder().reencode(encoded("png"))
