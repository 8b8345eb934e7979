"""Tables in migrations: row-level security by tenant, and rights of the application role."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from libs.postgres.pool import SYSTEM


class Migration(Protocol):
    """The used part of Alembic's `op`, inside `libs.postgres.migrate`."""

    def execute(self, sqltext: str) -> None:
        """Run one statement."""
        ...

    def get_context(self) -> Any:
        """The context of the running migration."""
        ...


NAME = re.compile(r"[a-z_][a-z0-9_]*")
ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")

Names: TypeAlias = tuple[str, ...]


def application_role(service: str) -> str:
    """The role as which the processes of a service act."""
    return f"tillstream_{_plain(service)}"


def enable_tenant_rls(op: Migration, table: str) -> None:
    """Show and accept only rows whose `tenant` is that of the connection, or all in system scope.

    Forced, so that it binds the owner too. Without a tenant no row is visible. An empty tenant
    means none: Postgres leaves an empty text when the setting of a transaction ends.
    """
    tenant = "nullif(current_setting('tillstream.tenant', true), '')"
    # In a subquery Postgres reads the setting once per query, not once per row.
    rule = f"(tenant = (SELECT {tenant}) OR (SELECT {tenant}) = '{SYSTEM}')"
    _add_policy(op, table, "tenant", rule)


def grant(op: Migration, table: str, *rights: str) -> None:
    """Grant the service's application role `rights` on a table, for example `"SELECT"`; by default
    to read and write its rows.
    """
    allowed = ", ".join(_plain(right.lower()).upper() for right in rights or ALL)
    op.execute(f"GRANT {allowed} ON {_plain(table)} TO {application_role(_service(op))}")


def create_tables(
    op: Migration, tables: Mapping[str, str], statements: Iterable[str] = (), *, rights: Names = ()
) -> None:
    """Create tables of no tenant, from their names and `(…)` definitions; then run the statements,
    such as those that create their indexes.

    The service's role may read and write the rows, or has only the `rights`.
    """
    for table, definition in tables.items():
        op.execute(f"CREATE TABLE {_plain(table)} {definition}")
        grant(op, table, *rights)
    for statement in statements:
        op.execute(statement)


def create_tenant_tables(
    op: Migration, tables: Mapping[str, str], statements: Iterable[str] = (), *, rights: Names = ()
) -> None:
    """As `create_tables`, with row-level security by the column `tenant`."""
    create_tables(op, tables, statements, rights=rights)
    for table in tables:
        enable_tenant_rls(op, table)


def create_system_tables(
    op: Migration, tables: Mapping[str, str], statements: Iterable[str] = (), *, rights: Names = ()
) -> None:
    """As `create_tables`; the rows are shown and accepted in system scope only, also the owner's.

    First rows that `statements` insert are accepted: a migration is in system scope.
    """
    create_tables(op, tables, statements, rights=rights)
    rule = f"((SELECT current_setting('tillstream.tenant', true)) = '{SYSTEM}')"
    for table in tables:
        _add_policy(op, table, "system", rule)


def create_sequence(op: Migration, name: str) -> None:
    """Create a sequence of integers, from which the service's role takes the next ones."""
    op.execute(f"CREATE SEQUENCE {_plain(name)} AS bigint")
    op.execute(f"GRANT USAGE ON SEQUENCE {name} TO {application_role(_service(op))}")


def _add_policy(op: Migration, table: str, name: str, rule: str) -> None:
    table = _plain(table)
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY {name} ON {table} USING {rule} WITH CHECK {rule}")


def _service(op: Migration) -> str:
    schema: str | None = op.get_context().version_table_schema
    if schema is None:
        raise ValueError("not inside libs.postgres.migrate")
    return schema


def _plain(name: str) -> str:
    # Names cannot be parameters of these commands, and our names need no quoting.
    if not NAME.fullmatch(name):
        raise ValueError(f"not a plain name: {name!r}")
    return name
