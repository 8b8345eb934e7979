"""The read model of the keys."""

from alembic import op

from libs.postgres.rls import create_tenant_tables

revision = "0002"
down_revision = "0001"

KEY = """(
    tenant text NOT NULL,
    key_id uuid NOT NULL,
    name text NOT NULL,
    prefix text NOT NULL,
    hash text NOT NULL,
    scopes text[] NOT NULL,
    issued_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_because text,
    PRIMARY KEY (tenant, key_id)
)"""
INDEX = "CREATE INDEX api_key_hash ON api_key (hash, issued_at DESC)"


def upgrade() -> None:
    """Create it, fenced by tenant. A hash is not unique: a configured key may change tenants."""
    create_tenant_tables(op, {"api_key": KEY}, [INDEX])
