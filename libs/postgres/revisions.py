"""The migrations that a database lacks, read from the files without Alembic.

Every process of a service checks this, and Alembic would take 20 MB in each of them.
"""

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

from libs.postgres.pool import Pool, acquire

VERSION_TABLE: Final = "schema_version"
_ASSIGNED: Final = re.compile(
    r'^(revision|down_revision)(?:: Final)? = (?:"([^"]*)"|None)$', re.MULTILINE
)


class MigrationFault(Exception):
    """The migration could not start."""


def folder_of(service: str, package: str = "") -> Path:
    """The folder of a service's migrations, in `services.<service>` or another package.

    Raises MigrationFault.
    """
    spec = importlib.util.find_spec(package or f"services.{service}")
    if spec is None or spec.origin is None:
        raise MigrationFault(f"there is no service {service}")
    return Path(spec.origin).parent / "migrations"


async def unapplied(service: str, pool: Pool, *, migrations: Path | None = None) -> list[str]:
    """The revisions not yet applied, oldest first; for readiness.

    Raises Unavailable, and MigrationFault if the database is older than all of them. The files are
    read once, because readiness is checked every few seconds.
    """
    async with acquire(pool) as connection:
        at = await applied(connection, service)
    return _after(_cached_chain(migrations or folder_of(service)), at)


async def applied(connection: Any, service: str) -> str | None:
    """The last applied revision, or None."""
    table = f"{service}.{VERSION_TABLE}"
    if await connection.fetchval("SELECT to_regclass($1) IS NULL", table):
        return None
    version: str | None = await connection.fetchval(f"SELECT version_num FROM {table}")  # noqa: S608
    return version


def missing(folder: Path, at: str | None) -> list[str]:
    """The revisions after `at`. Raises MigrationFault if `at` is older than the first of them, or
    if the files are not one chain.
    """
    return _after(_chain(folder), at)


def _after(chain: list[str], at: str | None) -> list[str]:
    if at is None:
        return [*chain]
    if at in chain:
        return chain[chain.index(at) + 1 :]
    if at < chain[0]:
        raise MigrationFault(
            f"the database is at revision {at}, older than {chain[0]}, the first of this release"
        )
    # A newer one, of a newer release: this process serves until it is replaced.
    return []


@cache
def _cached_chain(folder: Path) -> list[str]:
    return _chain(folder)


def _chain(folder: Path) -> list[str]:
    after = dict(map(_revision, sorted((folder / "versions").glob("*.py"))))
    chain, at = [], after.pop(None, None)
    while at is not None:
        chain.append(at)
        at = after.pop(at, None)
    if after:
        raise MigrationFault(f"the revisions in {folder} are no chain")
    return chain


def _revision(file: Path) -> tuple[str | None, str]:
    """The predecessor of a file's revision, and the revision itself."""
    names = dict(_ASSIGNED.findall(file.read_text(encoding="utf-8")))
    return names.get("down_revision") or None, names["revision"]
