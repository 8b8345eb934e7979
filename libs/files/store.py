"""Where the bytes of files are: a folder, or a bucket of S3, Google Cloud or Azure, by URL."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import unquote, urlsplit

import structlog
from obstore import exceptions
from obstore.store import LocalStore, ObjectStore, from_url
from pydantic import BaseModel, Field

from libs.errors import Unavailable

SCHEMES: Final = ("file", "memory", "s3", "gs", "az")
Seconds: TypeAlias = int

log = structlog.get_logger(__name__)


class FileSettings(BaseModel):
    """The settings of a service that stores files.

    `files_url` is `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or
    `az://container/prefix`; the account and credentials of a bucket are read from the environment
    under the names that its provider uses. All processes of
    a service need the same one. `files_allow_http` permits a bucket without TLS, on one's own
    network. A tenant's files have `file_quota_bytes` at most.
    """

    files_url: str = Field(pattern=rf"^({'|'.join(SCHEMES)})://")
    files_allow_http: bool = False
    max_file_bytes: int = Field(default=5 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    file_quota_bytes: int = Field(default=2 * 1024**3, ge=0)


class NoSuchObject(Exception):
    """There is no object with this key."""


class ObjectFolder:
    """Objects by key, which is one of ours: a name, no path of a client's.

    All methods raise Unavailable if the store does not answer in time.
    """

    def __init__(self, store: ObjectStore, folder: Path | None = None) -> None:
        """`folder` is where a local store keeps its files."""
        self._store = store
        self._folder = folder

    async def put(self, key: str, data: bytes) -> None:
        """Store an object, all of it or nothing; safe to repeat. It is durable afterwards."""
        async with _available():
            await self._store.put_async(key, data, use_multipart=False)
        if self._folder is not None:
            await asyncio.to_thread(_sync, self._folder / key)

    async def get(self, key: str, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`, exclusive. Raises NoSuchObject."""
        if end <= start:
            return b""
        async with _available():
            return bytes(await self._store.get_range_async(key, start=start, end=end))

    async def delete(self, key: str) -> None:
        """Delete an object if there is one."""
        try:
            async with _available():
                await self._store.delete_async(key)
        except NoSuchObject:
            pass


def open_objects(url: str, *, allow_http: bool = False) -> ObjectFolder:
    """The objects at a URL; a local folder is made if it does not exist.

    Raises ValueError if the URL cannot be used.
    """
    try:
        if urlsplit(url).scheme == "file":
            folder = Path(unquote(urlsplit(url).path))
            return ObjectFolder(LocalStore(folder, mkdir=True), folder)
        if urlsplit(url).scheme == "memory":
            return ObjectFolder(from_url(url))
        return ObjectFolder(
            from_url(
                url,
                client_options={
                    "timeout": timedelta(seconds=30),
                    "connect_timeout": timedelta(seconds=5),
                    "allow_http": allow_http,
                },
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=20)},
            )
        )
    except (exceptions.BaseError, OSError) as error:
        raise ValueError(f"cannot store files there: {type(error).__name__}") from error


@asynccontextmanager
async def _available() -> AsyncIterator[None]:
    try:
        yield
    except (exceptions.NotFoundError, FileNotFoundError) as error:
        raise NoSuchObject from error
    except (exceptions.BaseError, OSError) as error:
        log.warning("file storage", error=type(error).__name__)
        raise Unavailable("file storage") from error


def _sync(path: Path) -> None:
    """Make a file and its name survive a crash of the machine."""
    for one in (path, path.parent):
        descriptor = os.open(one, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
