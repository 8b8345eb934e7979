"""Databases with a service's tables: migrated once, then copied for whoever needs one."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.parse import urlsplit

from deploy.local.postgres import query
from libs.postgres.migrate import migrate


@contextmanager
def migrated(postgres_url: str, service: str) -> Iterator[str]:
    """The address of an up-to-date database of one's own, dropped at the end with every
    connection still open to it."""
    name, template = f"test_{uuid.uuid4().hex}", _template(postgres_url, service)
    query(postgres_url, f"create database {name} template {template}")
    # A copy has everything but what was granted on the database itself.
    query(
        postgres_url,
        "update pg_database as copy set datacl = origin.datacl from pg_database as origin "
        f"where copy.datname = '{name}' and origin.datname = '{template}'",
    )
    yield _address(postgres_url, name)
    query(postgres_url, f"drop database {name} with (force)")


@cache
def _template(postgres_url: str, service: str) -> str:
    name = f"template_{service}_{uuid.uuid4().hex[:8]}"
    query(postgres_url, f"create database {name}")
    migrate(service, _address(postgres_url, name))
    return name


def _address(postgres_url: str, name: str) -> str:
    return urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
