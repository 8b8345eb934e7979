"""The files of a service: which there are, of whom, and how much room they take.

A file is in its table before its bytes are stored, and until they are deleted: what a process left
behind that died in between is found and removed by `tidying`. Names are random, so a file can be
found by those only who were given its name; who may be given it, the service decides.
"""

import hashlib
import re
from collections.abc import AsyncIterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol
from uuid import uuid4

from libs.errors import NotFound, Refused, Unavailable
from libs.files.images import ImageReencoder, check_name, format_of
from libs.files.store import FileSettings, NoSuchObject, ObjectFolder, open_objects
from libs.postgres import query
from libs.postgres.pool import Pool
from libs.postgres.rls import Migration, create_tenant_tables
from libs.process.periodic import Periodic
from libs.security.data_keys import Erased

NAME: Final = re.compile(r"[0-9a-f-]{36}\.[a-z]{1,8}")
ABANDONED: Final = timedelta(hours=1)
"""After that an upload or a deletion is not under way any more."""
TIDY_SECONDS: Final = 600.0
TIDIED_AT_ONCE: Final = 100

TABLES: Final = {
    "stored_file": """(
        tenant text NOT NULL,
        name text PRIMARY KEY,
        media_type text NOT NULL,
        size bigint NOT NULL,
        sha256 text NOT NULL,
        sealed_for text,
        state text NOT NULL DEFAULT 'uploading',
        changed_at timestamptz NOT NULL DEFAULT now(),
        CHECK (state IN ('uploading', 'stored', 'deleting'))
    )""",
    "file_usage": """(
        tenant text PRIMARY KEY,
        bytes bigint NOT NULL CHECK (bytes >= 0),
        files bigint NOT NULL CHECK (files >= 0)
    )""",
}
INDEXES: Final = (
    "CREATE INDEX stored_file_unfinished ON stored_file (changed_at) WHERE state <> 'stored'",
    """CREATE INDEX stored_file_sealed ON stored_file (tenant, sealed_for)
    WHERE sealed_for IS NOT NULL""",
)

_RESERVE: Final = """
WITH room AS (
    INSERT INTO file_usage AS known (tenant, bytes, files)
    SELECT $1, $4::bigint, 1 WHERE $4::bigint <= $7::bigint
    ON CONFLICT (tenant) DO UPDATE SET bytes = known.bytes + excluded.bytes, files = known.files + 1
    WHERE known.bytes + excluded.bytes <= $7::bigint
    RETURNING tenant
)
INSERT INTO stored_file (tenant, name, media_type, size, sha256, sealed_for)
SELECT tenant, $2, $3, $4, $5, $6 FROM room
RETURNING name
"""
_STORED: Final = """
UPDATE stored_file SET state = 'stored', changed_at = now() WHERE name = $1 AND state = 'uploading'
RETURNING name
"""
_FIND: Final = """
SELECT name, media_type, size, sha256, tenant, sealed_for FROM stored_file
WHERE name = $1 AND state = 'stored'
"""
_DELETING: Final = """
UPDATE stored_file SET state = 'deleting', changed_at = now()
WHERE tenant = $1 AND name = $2 AND state = 'stored' RETURNING name
"""
_DELETED: Final = """
WITH gone AS (
    DELETE FROM stored_file WHERE name = $1 AND state <> 'stored' RETURNING tenant, size
)
UPDATE file_usage AS usage SET bytes = usage.bytes - gone.size, files = files - 1
FROM gone WHERE usage.tenant = gone.tenant
"""
# Before its bytes are deleted an abandoned upload becomes a deletion, so that it cannot succeed.
_ABANDONED: Final = """
UPDATE stored_file SET state = 'deleting', changed_at = now() WHERE name IN (
    SELECT name FROM stored_file WHERE state <> 'stored' AND changed_at < now() - $1::interval
    ORDER BY changed_at LIMIT $2 FOR UPDATE SKIP LOCKED
) RETURNING name
"""
_SEALED_FOR: Final = """
SELECT name FROM stored_file WHERE tenant = $1 AND sealed_for = $2 AND state = 'stored'
"""
_USAGE: Final = "SELECT bytes, files FROM file_usage WHERE tenant = $1"


class FileTooLarge(Refused):
    """The file is too large."""


class QuotaExceeded(Refused):
    """The room for files is used up."""


class NoSuchFile(NotFound):
    """There is no such file."""


class FileKey(Protocol):
    """Seals and opens files about a person: `libs.security.data_keys.DataKey`."""

    def seal_bytes(self, data: bytes, name: str) -> bytes:
        """Encrypt a file."""
        ...

    def open_bytes(self, sealed: bytes, name: str) -> bytes | Erased:
        """Decrypt a file."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A file. `size` and `sha256` (hexadecimal) are of the bytes that are stored.

    A file that was sealed for a person has the id in `sealed_for`.
    """

    name: str
    media_type: str
    size: int
    sha256: str
    tenant: str
    sealed_for: str | None = None


@dataclass(frozen=True, slots=True)
class FileUsage:
    """How much room the files of a tenant take."""

    bytes: int
    files: int


class Files:
    """The files of all tenants; `system` are connections that see them all.

    All methods raise Unavailable.
    """

    def __init__(self, objects: ObjectFolder, system: Pool, settings: FileSettings) -> None:
        self._objects = objects
        self._system = system
        self._settings = settings
        self._images = ImageReencoder()

    async def add_image(
        self,
        tenant: str,
        name: str,
        chunks: AsyncIterable[bytes],
        *,
        seal: tuple[str, FileKey] | None = None,
    ) -> StoredFile:
        """Store an image under a new random name. It is there, or nothing is.

        `name` is that of the client's file, of which only the suffix counts. `seal` is the id of a
        person and their key: then it can be opened with that key only. Raises NotAnImage,
        FileTooLarge, QuotaExceeded.
        """
        check_name(name, None)
        data = await self._collected(chunks)
        check_name(name, format_of(data))
        image = await self._images.reencode(data)
        own_name, stored = f"{uuid4()}{image.format.suffix}", image.data
        if seal is not None:
            stored = seal[1].seal_bytes(stored, own_name)
        file = StoredFile(
            name=own_name,
            media_type=image.format.value,
            size=len(stored),
            sha256=hashlib.sha256(stored).hexdigest(),
            tenant=tenant,
            sealed_for=None if seal is None else seal[0],
        )
        await self._store(file, stored)
        return file

    async def find(self, name: str) -> StoredFile:
        """A file of any tenant. Raises NoSuchFile."""
        if not NAME.fullmatch(name):
            raise NoSuchFile
        row = await query.fetchrow(self._system, _FIND, name)
        if row is None:
            raise NoSuchFile
        return query.row_as(StoredFile, row)

    async def read(
        self,
        file: StoredFile,
        start: int = 0,
        end: int | None = None,
        *,
        key: FileKey | None = None,
    ) -> bytes:
        """The bytes of a file from `start` up to `end`, exclusive.

        A sealed file needs its `key`. Raises NoSuchFile, also if its person was forgotten;
        `SealBroken`.
        """
        try:
            if file.sealed_for is None:
                return await self._objects.get(file.name, start, file.size if end is None else end)
            sealed = await self._objects.get(file.name, 0, file.size)
        except NoSuchObject as error:
            raise NoSuchFile from error
        data = Erased if key is None else key.open_bytes(sealed, file.name)
        if not isinstance(data, bytes):
            raise NoSuchFile
        return data[start:end]

    async def remove(self, tenant: str, name: str) -> None:
        """Delete a file. Raises NoSuchFile; a second time too."""
        if await query.fetchval(self._system, _DELETING, tenant, name) is None:
            raise NoSuchFile
        await self._delete(name)

    async def remove_sealed_for(self, tenant: str, person: str) -> int:
        """Delete the files of a person who is forgotten; how many.

        Safe to repeat and in parallel.
        """
        rows = await query.fetch(self._system, _SEALED_FOR, tenant, person)
        for row in rows:
            with suppress(NoSuchFile):
                await self.remove(tenant, row["name"])
        return len(rows)

    async def usage(self, tenant: str) -> FileUsage:
        """How much room the files of a tenant take, with those being uploaded."""
        row = await query.fetchrow(self._system, _USAGE, tenant)
        return FileUsage(0, 0) if row is None else query.row_as(FileUsage, row)

    async def tidy(self, abandoned: timedelta = ABANDONED) -> int:
        """Delete what was not completed; how many files. Several processes may do it."""
        rows = await query.fetch(self._system, _ABANDONED, abandoned, TIDIED_AT_ONCE)
        for row in rows:
            await self._delete(row["name"])
        return len(rows)

    async def _collected(self, chunks: AsyncIterable[bytes]) -> bytes:
        limit, data = self._settings.max_file_bytes, bytearray()
        async for chunk in chunks:
            if len(data) + len(chunk) > limit:
                raise FileTooLarge(f"The file is too large: {limit // 1024} KiB are allowed.")
            data += chunk
        return bytes(data)

    async def _store(self, file: StoredFile, data: bytes) -> None:
        quota = self._settings.file_quota_bytes
        values = (file.tenant, file.name, file.media_type, file.size, file.sha256, file.sealed_for)
        if await query.fetchval(self._system, _RESERVE, *values, quota) is None:
            used = (await self.usage(file.tenant)).bytes
            raise QuotaExceeded(
                f"The room for files is used up: {used // 1024} of {quota // 1024} KiB, "
                f"and this file needs {-(-file.size // 1024)}."
            )
        try:
            await self._objects.put(file.name, data)
        except Unavailable:
            # What cannot be deleted now is abandoned.
            with suppress(Unavailable):
                await self._delete(file.name)
            raise
        if await query.fetchval(self._system, _STORED, file.name) is None:
            # It took so long that it was taken for abandoned.
            await self._objects.delete(file.name)
            raise Unavailable("file storage")

    async def _delete(self, name: str) -> None:
        await self._objects.delete(name)
        await query.execute(self._system, _DELETED, name)


def open_files(settings: FileSettings, system: Pool) -> Files:
    """The files of a service. Raises ValueError if its URL cannot be used."""
    objects = open_objects(settings.files_url, allow_http=settings.files_allow_http)
    return Files(objects, system, settings)


def create_files(op: Migration) -> None:
    """Create the tables in the current schema."""
    create_tenant_tables(op, TABLES, INDEXES)


def tidying(files: Files) -> Periodic:
    """The job of a worker that removes what was not completed."""
    return Periodic("abandoned files", files.tidy, TIDY_SECONDS)
