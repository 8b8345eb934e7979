"""The table of a vault in a database of one's own, with the rights of a service's processes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from libs.postgres.migrate import migrate
from libs.postgres.pool import Pool
from libs.testing.pools import system_pool

MIGRATION: Final = """
from alembic import op

from libs.postgres.vault_keys import create_vault

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_vault(op)
"""


@pytest.fixture
async def vault_database(empty_database: str, tmp_path: Path) -> str:
    """The address of a database in which the service `inn` has a vault."""
    versions = tmp_path / "versions"
    versions.mkdir()
    (versions / "0001_vault.py").write_text(MIGRATION)
    await asyncio.to_thread(migrate, "inn", empty_database, migrations=tmp_path)
    return empty_database


@pytest.fixture
async def vault_pool(vault_database: str) -> AsyncIterator[Pool]:
    """Connections that see all tenants."""
    async with system_pool(vault_database, "inn", size=8) as pool:
        yield pool
