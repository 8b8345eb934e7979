"""Which sessions an account began, and fences around what is no tenant's.

The log knows both, but not by account: the sessions of one account cannot be found there without
reading all of them, and the read model of sessions follows by moments.
"""

from alembic import op

from libs.postgres.rls import create_tenant_tables, enable_system_rls

revision = "0011_fences"
down_revision = "0010_account_offer"

BEGUN = """(
    tenant text NOT NULL,
    account_id uuid NOT NULL,
    session_id uuid NOT NULL,
    begun_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, account_id, session_id)
)"""
SYSTEM_TABLES = (
    "device_grant",
    "one_time_code",
    "one_time_count",
    "telegram_link",
    "telegram_once",
)


def upgrade() -> None:
    """Create it. What is no tenant's is seen in system scope only."""
    create_tenant_tables(op, {"begun_session": BEGUN}, rights=("SELECT", "INSERT", "DELETE"))
    for table in SYSTEM_TABLES:
        enable_system_rls(op, table)
