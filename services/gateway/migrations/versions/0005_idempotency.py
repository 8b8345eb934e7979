"""Answers kept for requests that may be repeated, and when keys were last used."""

from alembic import op

from libs.postgres.rls import enable_tenant_rls, grant

revision = "0005"
down_revision = "0004"

TABLES = ("idempotency", "key_use")


def upgrade() -> None:
    """Create them, fenced by tenant. Neither follows from the log: what is lost is forgotten."""
    op.execute(
        """CREATE TABLE idempotency (
            tenant text NOT NULL,
            caller text NOT NULL,
            key bytea NOT NULL,
            fingerprint bytea NOT NULL,
            claim uuid NOT NULL,
            in_flight_until timestamptz NOT NULL,
            kept_until timestamptz NOT NULL,
            status smallint,
            headers text[],
            body bytea,
            PRIMARY KEY (tenant, caller, key)
        )"""
    )
    op.execute("CREATE INDEX idempotency_kept_until ON idempotency (kept_until)")
    op.execute(
        """CREATE TABLE key_use (
            tenant text NOT NULL,
            key_id uuid NOT NULL,
            last_used timestamptz NOT NULL,
            PRIMARY KEY (tenant, key_id)
        )"""
    )
    for table in TABLES:
        enable_tenant_rls(op, table)
        grant(op, table, "SELECT", "INSERT", "UPDATE", "DELETE")
