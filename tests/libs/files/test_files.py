"""Files are stored whole or not at all, within a quota, and found by their random names."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from aiohttp import web

from libs.clock import utc_now
from libs.errors import Unavailable
from libs.files.files import (
    Files,
    FileTooLarge,
    FileUsage,
    NoSuchFile,
    QuotaExceeded,
    StoredFile,
    open_files,
)
from libs.files.images import NameMisleads, NotAnImage
from libs.files.store import FileSettings, NoSuchObject, ObjectFolder, open_objects
from libs.postgres.pool import Pool
from libs.security.data_keys import DataKey, Forgotten, Subject
from libs.security.sealing import SealBroken
from libs.testing.pools import tenant_pool
from libs.testing.servers import http_server
from tests.libs.files.pictures import decoded, encoded, in_chunks, large

NOW = timedelta(0)
ANNA = Subject("demo", "anna")


async def added(files: Files, data: bytes, tenant: str = "demo", name: str = "a.jpg") -> StoredFile:
    return await files.add_image(tenant, name, in_chunks(data))


def stored_names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def test_an_image_is_found_by_the_random_name_it_got(files: Files, folder: Path) -> None:
    file = await files.add_image("demo", "Anna's rose.PNG", in_chunks(encoded("png")))

    assert UUID(Path(file.name).stem).version == 4
    assert (Path(file.name).suffix, file.media_type) == (".png", "image/png")
    assert await files.find(file.name) == file
    data = await files.read(file)
    assert len(data) == file.size
    assert (decoded(data).width, await files.read(file, 3, 9)) == (64, data[3:9])
    assert stored_names(folder) == [file.name]


@pytest.mark.parametrize(
    ("name", "data", "refusal"),
    [
        ("a.svg", encoded("png"), NotAnImage),
        ("a.jpg", encoded("png"), NameMisleads),
        ("a.jpg", b"<html>", NotAnImage),
        ("a.jpg", b"\xff\xd8\xff" + b"x" * 10_000, FileTooLarge),
    ],
)
async def test_a_refused_file_leaves_nothing_behind(
    files: Files, folder: Path, name: str, data: bytes, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        await added(files, data, name=name)

    assert stored_names(folder) == []
    assert await files.usage("demo") == FileUsage(0, 0)


async def test_no_more_is_read_of_a_file_than_is_allowed(files: Files) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 1000

    with pytest.raises(FileTooLarge, match="9 KiB"):
        await files.add_image("demo", "a.jpg", endless())
    assert taken == 11


async def test_the_quota_of_a_tenant_holds_for_uploads_at_the_same_time(files: Files) -> None:
    size = (await added(files, large())).size
    results = await asyncio.gather(
        *(added(files, large()) for _ in range(5)), return_exceptions=True
    )

    refused = [one for one in results if isinstance(one, QuotaExceeded)]
    fit = 20_000 // size
    assert len(refused) == 5 - (fit - 1)
    assert str(refused[0]).startswith("The room for files is used up:")
    assert await files.usage("demo") == FileUsage(fit * size, fit)
    # Of another tenant nothing is used.
    await added(files, large(), "other")


async def test_a_removed_file_is_gone_and_its_room_is_free(files: Files, folder: Path) -> None:
    file = await added(files, large())
    with pytest.raises(NoSuchFile):
        await files.remove("other", file.name)
    await files.remove("demo", file.name)

    assert stored_names(folder) == []
    assert await files.usage("demo") == FileUsage(0, 0)
    with pytest.raises(NoSuchFile):
        await files.find(file.name)
    with pytest.raises(NoSuchFile):
        await files.remove("demo", file.name)


@pytest.mark.parametrize("away", ["put", "everything"])
async def test_nothing_is_stored_while_the_storage_is_away(
    files: Files, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    async def fails(*_: object) -> None:
        raise Unavailable("file storage")

    with monkeypatch.context() as storage:
        storage.setattr(ObjectFolder, "put", fails)
        if away == "everything":
            storage.setattr(ObjectFolder, "delete", fails)
        with pytest.raises(Unavailable):
            await added(files, large())
        assert (await files.usage("demo")).files == (away == "everything")
    await files.tidy(NOW)
    assert await files.usage("demo") == FileUsage(0, 0)


async def test_what_was_not_completed_is_removed_and_nothing_else(
    files: Files, folder: Path, system: Pool
) -> None:
    kept, uploading, deleting = [await added(files, encoded("jpg")) for _ in range(3)]
    for file, state in ((uploading, "uploading"), (deleting, "deleting")):
        await system.execute("UPDATE stored_file SET state = $1 WHERE name = $2", state, file.name)

    assert await files.tidy() == 0
    assert await files.tidy(NOW) == 2
    assert stored_names(folder) == [kept.name]
    assert await files.usage("demo") == FileUsage(kept.size, 1)


async def test_an_upload_that_was_taken_for_abandoned_does_not_succeed(
    files: Files, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = ObjectFolder.put

    async def slowly(self: ObjectFolder, key: str, data: bytes) -> None:
        await files.tidy(NOW)
        await put(self, key, data)

    monkeypatch.setattr(ObjectFolder, "put", slowly)
    with pytest.raises(Unavailable):
        await added(files, encoded("jpg"))
    assert stored_names(folder) == []
    assert await files.usage("demo") == FileUsage(0, 0)


PROGRAM = """
import asyncio, sys
from libs.files.store import open_objects
async def main():
    objects = open_objects(sys.argv[1])
    print("ready", flush=True)
    while True:
        await objects.put("one.bin", b"x" * 20_000_000)
asyncio.run(main())
"""


async def test_a_kill_leaves_the_whole_file_or_the_one_before(tmp_path: Path) -> None:
    objects = open_objects(tmp_path.as_uri())
    await objects.put("one.bin", b"x" * 20_000_000)
    for delay in (0.0, 0.003, 0.01, 0.03, 0.06):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, tmp_path.as_uri()), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        await asyncio.sleep(delay)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        assert (tmp_path / "one.bin").stat().st_size == 20_000_000


async def test_a_sealed_file_opens_with_the_key_of_its_person_only(
    files: Files, folder: Path
) -> None:
    key = DataKey(ANNA, b"k" * 32)
    file = await files.add_image("demo", "a.jpg", in_chunks(encoded("jpg")), seal=(ANNA.id, key))

    assert b"JFIF" not in (folder / file.name).read_bytes()
    opened = await files.read(file, key=key)
    assert decoded(opened).width == 64
    assert await files.read(file, 3, 9, key=key) == opened[3:9]
    for other in (DataKey(ANNA, b"o" * 32), DataKey(Subject("demo", "eve"), b"k" * 32)):
        with pytest.raises(SealBroken):
            await files.read(file, key=other)
    with pytest.raises(NoSuchFile):
        await files.read(file)


async def test_the_files_of_a_forgotten_person_are_gone(files: Files, folder: Path) -> None:
    key = DataKey(ANNA, b"k" * 32)
    own = await files.add_image("demo", "a.jpg", in_chunks(encoded("jpg")), seal=(ANNA.id, key))
    other = await added(files, encoded("jpg"))
    forgotten = DataKey(ANNA, None, forgotten_at=utc_now())
    with pytest.raises(NoSuchFile):
        await files.read(own, key=forgotten)
    with pytest.raises(Forgotten):
        await files.add_image("demo", "a.jpg", in_chunks(encoded("jpg")), seal=(ANNA.id, forgotten))

    assert await files.remove_sealed_for("demo", ANNA.id) == 1
    assert await files.remove_sealed_for("demo", ANNA.id) == 0
    assert stored_names(folder) == [other.name]


async def test_a_file_with_the_bytes_of_another_name_does_not_open(
    files: Files, folder: Path
) -> None:
    key = DataKey(ANNA, b"k" * 32)
    one, two = [
        await files.add_image("demo", "a.jpg", in_chunks(encoded("jpg")), seal=(ANNA.id, key))
        for _ in range(2)
    ]
    (folder / one.name).write_bytes((folder / two.name).read_bytes())
    with pytest.raises(SealBroken):
        await files.read(one, key=key)


async def test_rows_of_another_tenant_are_not_visible(files: Files, bakery_url: str) -> None:
    await added(files, encoded("jpg"))
    async with tenant_pool(bakery_url, "bakery") as pool:
        assert await pool.fetchval("SELECT count(*) FROM stored_file") == 0
        assert await pool.fetchval("SELECT count(*) FROM file_usage") == 0


async def test_a_file_whose_bytes_are_lost_is_not_there(files: Files, folder: Path) -> None:
    file = await added(files, encoded("jpg"))
    (folder / file.name).unlink()
    with pytest.raises(NoSuchFile):
        await files.read(file)
    await files.remove("demo", file.name)


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/../../b"])
async def test_no_key_leaves_the_folder(folder: Path, key: str) -> None:
    objects = open_objects(folder.as_uri())
    with pytest.raises((ValueError, NoSuchObject)):
        await objects.get(key, 0, 1)


@pytest.mark.parametrize(
    "url", ["s3://bucket/prefix", "gs://bucket", "az://container/prefix", "memory:///"]
)
def test_buckets_are_named_by_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "flora")
    assert isinstance(open_objects(FileSettings(files_url=url).files_url), ObjectFolder)


async def test_objects_in_a_bucket_are_as_those_in_a_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket: dict[str, bytes] = {}

    async def s3(request: web.BaseRequest) -> web.Response:
        """The part of S3's protocol that is used."""
        key = request.path.removeprefix("/flora/")
        assert request.headers["Authorization"].startswith("AWS4-HMAC-SHA256")
        if request.method == "PUT":
            bucket[key] = await request.read()
            return web.Response(headers={"ETag": '"1"'})
        if request.method in {"DELETE", "POST"}:
            bucket.clear()
            return web.Response(
                text="<DeleteResult><Deleted><Key>shop/one.bin</Key></Deleted></DeleteResult>"
            )
        if key not in bucket:
            return web.Response(status=404)
        start, end = (int(one) for one in request.headers["Range"][6:].split("-"))
        part, size = bucket[key][start : end + 1], len(bucket[key])
        headers = {
            "ETag": '"1"',
            "Last-Modified": "Mon, 30 Nov 2026 12:00:00 GMT",
            "Content-Range": f"bytes {start}-{start + len(part) - 1}/{size}",
        }
        return web.Response(status=206, body=part, headers=headers)

    async with http_server(s3) as url:
        for name, value in {
            "AWS_ENDPOINT": url,
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }.items():
            monkeypatch.setenv(name, value)
        objects = open_objects("s3://flora/shop", allow_http=True)
        await objects.put("one.bin", b"0123456789")
        assert list(bucket) == ["shop/one.bin"]
        assert await objects.get("one.bin", 2, 5) == b"234"
        await objects.delete("one.bin")
        with pytest.raises(NoSuchObject):
            await objects.get("one.bin", 2, 5)
        assert bucket == {}
    with pytest.raises(Unavailable):
        await objects.put("one.bin", b"0")


def test_a_url_that_cannot_be_used_is_refused(system: Pool) -> None:
    with pytest.raises(ValueError, match="files_url"):
        FileSettings(files_url="ftp://elsewhere")
    settings = FileSettings(files_url="file:///proc/nowhere")
    with pytest.raises(ValueError, match="cannot store files"):
        open_files(settings, system)
