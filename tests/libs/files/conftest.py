"""The files of the bakery, on a real database and in a folder."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from libs.files.files import TABLES, Files, create_files, open_files
from libs.files.store import FileSettings
from libs.postgres.pool import Pool
from libs.testing.databases import empty
from libs.testing.pools import system_pool
from tests.libs.bakery_database import migrate_bakery


@pytest.fixture(scope="module")
def bakery_url(postgres_url: str) -> Iterator[str]:
    """A database for the tests of a module, since migrations take longer than most of them."""
    with empty(postgres_url) as url:
        asyncio.run(migrate_bakery(url, create_files))
        yield url


@pytest.fixture
async def system(bakery_url: str) -> AsyncIterator[Pool]:
    """Connections that see all tenants."""
    async with system_pool(bakery_url, "bakery") as pool:
        for table in TABLES:
            await pool.execute(f"DELETE FROM {table}")
        yield pool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the bytes are stored; its name needs to be quoted in a URL."""
    return tmp_path / "the files"


@pytest.fixture
def files(system: Pool, folder: Path) -> Files:
    """The files of the bakery, 20 kB for each tenant."""
    return open_files(
        FileSettings(files_url=folder.as_uri(), max_file_bytes=10_000, file_quota_bytes=20_000),
        system,
    )
