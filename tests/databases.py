"""Databases with a service's tables: migrated once, then copied for whoever needs one.

A copy takes a quarter of a second, of which nobody sees anything: while one test runs, those of the
next are made, and thrown away while others run.
"""

import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from typing import Final
from urllib.parse import urlsplit

from deploy.local.postgres import query
from libs.postgres.migrate import migrate

AHEAD: Final = 2
EMPTY: Final = "template1"


@contextmanager
def migrated(postgres_url: str, service: str) -> Iterator[str]:
    """The address of an up-to-date database of one's own, dropped at the end with every
    connection still open to it."""
    with _stock(postgres_url, _template(postgres_url, service)).one() as url:
        yield url


@contextmanager
def empty(postgres_url: str) -> Iterator[str]:
    """The same without anything in it."""
    with _stock(postgres_url, EMPTY).one() as url:
        yield url


class _Stock:
    """Copies of a template, some of them ready before anybody asks."""

    def __init__(self, postgres_url: str, template: str) -> None:
        self._url = postgres_url
        self._template = template
        self._hands = ThreadPoolExecutor(max_workers=1, thread_name_prefix=template)
        self._coming: SimpleQueue[Future[str]] = SimpleQueue()
        for _ in range(AHEAD):
            self._order()

    @contextmanager
    def one(self) -> Iterator[str]:
        """One of them, for as long as it is needed."""
        name = self._coming.get().result()
        self._order()
        try:
            yield urlsplit(self._url)._replace(path=f"/{name}").geturl()
        finally:
            self._hands.submit(query, self._url, f"drop database {name} with (force)")

    def _order(self) -> None:
        self._coming.put(self._hands.submit(self._copy))

    def _copy(self) -> str:
        name = f"test_{uuid.uuid4().hex}"
        query(self._url, f"create database {name} template {self._template}")
        # A copy has everything but what was granted on the database itself.
        query(
            self._url,
            "update pg_database as copy set datacl = origin.datacl from pg_database as origin "
            f"where copy.datname = '{name}' and origin.datname = '{self._template}'",
        )
        return name


@cache
def _stock(postgres_url: str, template: str) -> _Stock:
    return _Stock(postgres_url, template)


@cache
def _template(postgres_url: str, service: str) -> str:
    name = f"template_{service}_{uuid.uuid4().hex[:8]}"
    query(postgres_url, f"create database {name}")
    migrate(service, urlsplit(postgres_url)._replace(path=f"/{name}").geturl())
    return name
