"""Databases with a service's tables, for tests.

They are migrated once per run, copied once per worker, and wiped after each test: copying a
database costs ten times as much as deleting the few rows of a test. A database whose schema a test
has changed, or that has become large, is dropped and copied again. All of this happens in a thread
of its own while tests run.
"""

import asyncio
import threading
import uuid
from collections import deque
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import asyncpg

from libs.postgres.guarded_pool import ANY_ERROR
from libs.postgres.migrate import migrate

Result = TypeVar("Result")

PREPARED: Final = 2
EMPTY: Final = "template0"
LARGE_BYTES: Final = 8 * 1024 * 1024
"""A larger database is not reused: its deleted rows would slow down later tests."""

# Any change of the schema changes the (oid, xmin) of a row in these catalogues.
FINGERPRINT: Final = """
SELECT md5(string_agg(kind || id || '/' || version, ',' ORDER BY kind, id)) FROM (
  SELECT 'class' AS kind, oid::bigint AS id, xmin::text AS version
    FROM pg_class WHERE oid >= 16384 AND relkind <> 'S'
  UNION ALL SELECT 'sequence', oid, relnamespace::text FROM pg_class
    WHERE oid >= 16384 AND relkind = 'S'
  UNION ALL SELECT 'namespace', oid, xmin::text FROM pg_namespace
    WHERE nspname !~ '^pg_(toast_)?temp'
  UNION ALL SELECT 'proc', oid, xmin::text FROM pg_proc WHERE oid >= 16384
  UNION ALL SELECT 'trigger', oid, xmin::text FROM pg_trigger
  UNION ALL SELECT 'policy', oid, xmin::text FROM pg_policy
  UNION ALL SELECT 'constraint', oid, xmin::text FROM pg_constraint WHERE oid >= 16384
  UNION ALL SELECT 'setting', setdatabase, setconfig::text FROM pg_db_role_setting
) AS everything"""
WIPE: Final = """
DO $$ DECLARE target record; BEGIN
  FOR target IN SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
      WHERE schemaname NOT IN ('pg_catalog', 'information_schema') LOOP
    EXECUTE 'DELETE FROM ' || target.name;
  END LOOP;
  FOR target IN SELECT format('%I.%I', schemaname, sequencename) AS name, start_value
      FROM pg_sequences WHERE last_value IS NOT NULL LOOP
    PERFORM setval(target.name, target.start_value, false);
  END LOOP;
END $$"""
TERMINATE_OTHERS: Final = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname = current_database()
AND backend_type = 'client backend'"""
SIZE: Final = "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE oid >= 16384 AND relkind = 'r'"
TABLES: Final = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"""


@contextmanager
def migrated(postgres_url: str, service: str) -> Iterator[str]:
    """The URL of a migrated database for exclusive use. Its connections are closed at the end."""
    with _DatabasePool.of(postgres_url, service).database() as url:
        yield url


@contextmanager
def empty(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database for exclusive use, closed at the end like `migrated`."""
    with _DatabasePool.of(postgres_url, "").database() as url:
        yield url


@dataclass(frozen=True, slots=True)
class _Seed:
    """The contents of a fresh copy: its schema, and the rows that migrations wrote."""

    fingerprint: str
    rows: dict[str, str]


class _DatabasePool:
    """Databases of one template, some of them prepared before a test needs one."""

    def __init__(self, postgres_url: str, service: str) -> None:
        self._url = postgres_url
        self._service = service
        self._ready: deque[Future[str]] = deque()
        self._seeds: dict[str, _Seed] = {}
        template = _template(postgres_url, service) if service else EMPTY
        self._template = template
        for _ in range(PREPARED):
            self._ready.append(_run(self._copy()))

    @staticmethod
    @cache
    def of(postgres_url: str, service: str) -> "_DatabasePool":
        """The pool of this process for a server and a service."""
        return _DatabasePool(postgres_url, service)

    @contextmanager
    def database(self) -> Iterator[str]:
        """A database for as long as the block runs."""
        pending = self._ready.popleft() if self._ready else _run(self._copy())
        name = pending.result()
        try:
            yield _at(self._url, name)
        finally:
            self._ready.append(_run(self._renew(name)))

    async def _copy(self) -> str:
        name = f"test_{uuid.uuid4().hex}"
        async with _admin(self._url) as connection:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {self._template}")
            # A copy lacks the privileges on the database itself.
            await connection.execute(
                "UPDATE pg_database AS copy SET datacl = origin.datacl FROM pg_database AS origin"
                " WHERE copy.datname = $1 AND origin.datname = $2",
                name,
                self._template,
            )
        if self._service:
            self._seeds[name] = await self._seed(name)
        return name

    async def _renew(self, name: str) -> str:
        if (seed := self._seeds.get(name)) is not None and await self._wipe(name, seed):
            return name
        self._seeds.pop(name, None)
        async with _admin(self._url) as connection:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        return await self._copy()

    async def _seed(self, name: str) -> _Seed:
        connection = await _connect(_at(self._url, name))
        try:
            rows = {
                table: text
                for (table,) in await connection.fetch(TABLES)
                if (text := await connection.fetchval(f"SELECT json_agg(t)::text FROM {table} t"))
            }
            return _Seed(await connection.fetchval(FINGERPRINT), rows)
        finally:
            await connection.close()

    async def _wipe(self, name: str, seed: _Seed) -> bool:
        """Restore the contents of a fresh copy. Returns False if that is impossible."""
        try:
            connection = await _connect(_at(self._url, name))
        except (OSError, asyncpg.PostgresError):
            return False  # a test dropped it, or allows no connections
        try:
            await connection.execute(TERMINATE_OTHERS)
            if await connection.fetchval(FINGERPRINT) != seed.fingerprint:
                return False
            if await connection.fetchval(SIZE) > LARGE_BYTES:
                return False
            async with connection.transaction():
                await connection.execute("SET LOCAL session_replication_role = replica")
                await connection.execute(WIPE)
                for table, text in seed.rows.items():
                    await connection.execute(
                        f"INSERT INTO {table} OVERRIDING SYSTEM VALUE"
                        f" SELECT * FROM json_populate_recordset(NULL::{table}, $1)",
                        text,
                    )
        except ANY_ERROR:
            return False
        finally:
            await connection.close()
        return True


@cache
def _template(postgres_url: str, service: str) -> str:
    """The name of a service's template; the first worker that needs it migrates it."""
    name = f"template_{service}"
    _run(_migrated(postgres_url, service, name)).result()
    return name


async def _migrated(postgres_url: str, service: str, name: str) -> None:
    async with _admin(postgres_url) as connection:
        # One worker at a time; the template gets its name only when it is complete.
        await connection.execute("SELECT pg_advisory_lock(hashtext('tests: templates'))")
        if await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            return
        raw = f"{name}_raw"
        await connection.execute(f"CREATE DATABASE {raw}")
        await asyncio.to_thread(migrate, service, _at(postgres_url, raw))
        await connection.execute(f"ALTER DATABASE {raw} RENAME TO {name}")


class _admin:  # noqa: N801  # used as a function
    """A connection to the server's own database while the block runs."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Any:
        self._connection = await _connect(self._url)
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()


async def _connect(url: str) -> Any:
    return await asyncpg.connect(url, timeout=120, command_timeout=None)


def _at(url: str, database: str) -> str:
    return urlsplit(url)._replace(path=f"/{database}").geturl()


def _run(work: Coroutine[Any, Any, Result]) -> Future[Result]:
    """Start work on databases in the background thread."""
    return asyncio.run_coroutine_threadsafe(work, _loop())


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="databases", daemon=True).start()
    return loop
