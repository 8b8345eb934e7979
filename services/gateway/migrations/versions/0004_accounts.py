"""The read models of accounts and sessions, and the numbers of accounts."""

from alembic import op

from libs.postgres.rls import create_sequence, create_tenant_tables

revision = "0004"
down_revision = "0003"

TABLES = {
    "account": """(
        tenant text NOT NULL,
        account_id uuid NOT NULL,
        number bigint NOT NULL,
        sealed text NOT NULL,
        has_password boolean NOT NULL,
        active boolean NOT NULL,
        opened_at timestamptz NOT NULL,
        changed_at timestamptz NOT NULL,
        removed_at timestamptz,
        PRIMARY KEY (tenant, account_id)
    )""",
    "account_role": """(
        tenant text NOT NULL,
        account_id uuid NOT NULL,
        realm text NOT NULL,
        of_tenant text NOT NULL,
        role text NOT NULL,
        granted_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, account_id, realm, of_tenant)
    )""",
    "account_address": """(
        tenant text NOT NULL,
        digest text NOT NULL,
        generation int NOT NULL,
        kind text NOT NULL,
        account_id uuid NOT NULL,
        released boolean NOT NULL,
        PRIMARY KEY (tenant, digest, generation)
    )""",
    "session": """(
        tenant text NOT NULL,
        session_id uuid NOT NULL,
        account_id uuid NOT NULL,
        realm text NOT NULL,
        of_tenant text NOT NULL,
        device text NOT NULL,
        opened_at timestamptz NOT NULL,
        refreshed_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz,
        revoked_because text,
        PRIMARY KEY (tenant, session_id)
    )""",
}
INDEXES = (
    "CREATE INDEX account_number_of ON account (tenant, number)",
    "CREATE INDEX account_role_place ON account_role (tenant, realm, of_tenant, role)",
    "CREATE INDEX session_account ON session (tenant, account_id, opened_at DESC)",
)


def upgrade() -> None:
    """Create them, fenced by the tenant they stand under in the log, and the sequence."""
    create_tenant_tables(op, TABLES, INDEXES)
    create_sequence(op, "account_number")
