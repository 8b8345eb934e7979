"""Which migrations a database lacks: read from the files themselves, without Alembic.

Every process of a service asks, and Alembic with what it needs takes 20 MB in each of them.
"""

import ast
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from libs.postgres.pool import Pool, acquire

VERSION_TABLE: Final = "schema_version"
NAMES: Final = ("revision", "down_revision")


class MigrationFault(Exception):
    """The migration could not begin."""


def folder_of(service: str) -> Path:
    """Where a service keeps its migrations. Raises MigrationFault."""
    found = importlib.util.find_spec(f"services.{service}")
    if found is None or found.origin is None:
        raise MigrationFault(f"there is no service {service}")
    return Path(found.origin).parent / "migrations"


async def unapplied(service: str, pool: Pool, *, migrations: Path | None = None) -> list[str]:
    """The revisions not yet applied, oldest first; for readiness. Raises `Unavailable`.

    The files are read once: what a program needs does not change while it runs, and readiness is
    asked every few seconds.
    """
    async with acquire(pool) as connection:
        at = await applied(connection, service)
    return _after(_chain_at_first(migrations or folder_of(service)), at)


async def applied(connection: Any, service: str) -> str | None:
    """The last revision applied, or None."""
    table = f"{service}.{VERSION_TABLE}"
    if await connection.fetchval("SELECT to_regclass($1) IS NULL", table):
        return None
    found: str | None = await connection.fetchval(f"SELECT version_num FROM {table}")  # noqa: S608
    return found


def missing(folder: Path, at: str | None) -> list[str]:
    """What follows the revision `at`. Raises MigrationFault if the files are no chain."""
    return _after(_chain(folder), at)


def _after(chain: list[str], at: str | None) -> list[str]:
    if at is None:
        return [*chain]
    # A newer release has migrated already; this one serves on until it is replaced.
    return chain[chain.index(at) + 1 :] if at in chain else []


@cache
def _chain_at_first(folder: Path) -> list[str]:
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
    """What a file's revision follows, and what it is called."""
    said = dict(_assigned(ast.parse(file.read_text(encoding="utf-8"))))
    return said.get("down_revision"), said["revision"]


def _assigned(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    """Both names, however they are written: one by one, typed, or side by side."""
    for line in tree.body:
        match line:
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                pairs = list(zip(names, values, strict=True))
            case ast.Assign(targets=[name], value=value):
                pairs = [(name, value)]
            case ast.AnnAssign(target=name, value=ast.expr() as value):
                pairs = [(name, value)]
            case _:
                continue
        for name, value in pairs:
            if isinstance(name, ast.Name) and name.id in NAMES:
                yield name.id, ast.literal_eval(value)
