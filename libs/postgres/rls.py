"""Words for migrations: rows fenced by tenant, and rights for the application role."""

import re
from collections.abc import Iterable
from typing import Any, Protocol

from libs.postgres.pool import SYSTEM


class Operations(Protocol):
    """The part of Alembic's `op` that is used here."""

    def execute(self, sqltext: str) -> None:
        """Run one statement."""
        ...


class Migration(Operations, Protocol):
    """The same inside `libs.postgres.migrate`."""

    def get_context(self) -> Any:
        """The migration under way."""
        ...


NAME = re.compile(r"[a-z_][a-z0-9_]*")


def application_role(service: str) -> str:
    """The role whose rights the service's processes act with."""
    return f"tillstream_{_plain(service)}"


def enable_tenant_rls(op: Operations, table: str) -> None:
    """Show and accept only rows whose `tenant` is that of the connection, or all to the system.

    Forced, so that it binds the owner too. With no tenant set, nothing is visible. Postgres leaves
    an empty text behind where a transaction's own setting ended, so an empty tenant is none.
    """
    tenant = "nullif(current_setting('tillstream.tenant', true), '')"
    # Behind a subquery Postgres reads the setting once per query and not once per row.
    rule = f"(tenant = (SELECT {tenant}) OR (SELECT {tenant}) = '{SYSTEM}')"
    _fence(op, table, "tenant", rule)


def enable_system_rls(op: Operations, table: str) -> None:
    """Show and accept rows in the system scope only: of a table that no tenant has rows in.

    Forced too; who acts for one tenant sees nothing of it.
    """
    rule = f"((SELECT current_setting('tillstream.tenant', true)) = '{SYSTEM}')"
    _fence(op, table, "system", rule)


def grant(op: Migration, table: str, *rights: str) -> None:
    """Allow the service's application role `rights` on a table, for example `"SELECT"`."""
    allowed = ", ".join(_plain(right.lower()).upper() for right in rights)
    op.execute(f"GRANT {allowed} ON {_plain(table)} TO {application_role(_service(op))}")


def create(op: Operations, statements: Iterable[str], tables: Iterable[str], role: str) -> None:
    """Run the statements, and allow the role to read and write rows of the tables they made."""
    for statement in statements:
        op.execute(statement)
    for table in tables:
        op.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO "{role}"')


def _fence(op: Operations, table: str, name: str, rule: str) -> None:
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
    # Names cannot be parameters of these commands, and none of ours needs quoting.
    if not NAME.fullmatch(name):
        raise ValueError(f"not a plain name: {name!r}")
    return name
