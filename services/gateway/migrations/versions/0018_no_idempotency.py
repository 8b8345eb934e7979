"""Answers to requests with an `Idempotency-Key` are stored by the services themselves."""

from alembic import op

from libs.postgres.rls import enable_tenant_rls, grant

revision = "0018"
down_revision = "0017_tenant_length"


def upgrade() -> None:
    """Drop the table, which no route used."""
    op.execute("DROP TABLE idempotency")


def downgrade() -> None:
    """Create it again, empty."""
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
    enable_tenant_rls(op, "idempotency")
    grant(op, "idempotency", "SELECT", "INSERT", "UPDATE", "DELETE")
