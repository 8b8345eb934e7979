"""Invitations: what accounts were offered to be, and the numbers that places know them by."""

from alembic import op

from libs.postgres.rls import create_tenant_tables

revision = "0010_account_offer"
down_revision = "0009_codes_by_network"

OFFER = """(
    tenant text NOT NULL,
    account_id uuid NOT NULL,
    realm text NOT NULL,
    of_tenant text NOT NULL,
    number bigint NOT NULL,
    role text NOT NULL,
    sealed text NOT NULL,
    offered_at timestamptz NOT NULL,
    pending boolean NOT NULL,
    PRIMARY KEY (tenant, account_id, realm, of_tenant)
)"""
INDEX = "CREATE INDEX account_offer_place ON account_offer (tenant, realm, of_tenant, number)"


def upgrade() -> None:
    """Create it. No invitation was in the log before, so it begins empty and complete."""
    create_tenant_tables(op, {"account_offer": OFFER}, [INDEX])
