"""Answers kept for requests that may be repeated, and when keys were last used."""

from alembic import op

from libs.postgres.rls import create_tenant_tables

revision = "0005"
down_revision = "0004"

TABLES = {
    "idempotency": """(
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
    )""",
    "key_use": """(
        tenant text NOT NULL,
        key_id uuid NOT NULL,
        last_used timestamptz NOT NULL,
        PRIMARY KEY (tenant, key_id)
    )""",
}
INDEXES = ("CREATE INDEX idempotency_kept_until ON idempotency (kept_until)",)


def upgrade() -> None:
    """Create them, fenced by tenant. Neither follows from the log: what is lost is forgotten."""
    create_tenant_tables(op, TABLES, INDEXES)
