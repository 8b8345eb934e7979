"""The whole schema, in one revision."""

from typing import Final

from alembic import op

from libs.postgres.attempts import create_attempts
from libs.postgres.rls import create_sequence, create_system_tables, create_tenant_tables
from libs.process.service_schema import create_service_schema

revision: Final = "0018"
down_revision: Final = None

READ_MODELS: Final = {
    "api_key": """(
        tenant text NOT NULL,
        key_id uuid NOT NULL,
        name text NOT NULL,
        prefix text NOT NULL,
        hash text NOT NULL,
        scopes text[] NOT NULL,
        issued_at timestamptz NOT NULL,
        revoked_at timestamptz,
        revoked_because text,
        expires_at timestamptz,
        requests_per_minute integer,
        PRIMARY KEY (tenant, key_id)
    )""",
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
    "account_offer": """(
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
"""Those of the log, which can be rebuilt."""

INDEXES: Final = (
    # A hash is not unique: a configured key may change tenants.
    "CREATE INDEX api_key_hash ON api_key (hash, issued_at DESC)",
    "CREATE INDEX account_number_of ON account (tenant, number)",
    "CREATE INDEX account_role_place ON account_role (tenant, realm, of_tenant, role)",
    "CREATE INDEX account_offer_place ON account_offer (tenant, realm, of_tenant, number)",
    "CREATE INDEX session_account ON session (tenant, account_id, opened_at DESC)",
    "CREATE INDEX session_revoked_at ON session (revoked_at) WHERE revoked_at IS NOT NULL",
)

KEY_USE: Final = {
    "key_use": """(
        tenant text NOT NULL,
        key_id uuid NOT NULL,
        last_used timestamptz NOT NULL,
        PRIMARY KEY (tenant, key_id)
    )"""
}
"""Does not follow from the log: what is lost is forgotten."""

BEGUN: Final = {
    "begun_session": """(
        tenant text NOT NULL,
        account_id uuid NOT NULL,
        session_id uuid NOT NULL,
        begun_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, account_id, session_id)
    )"""
}
"""Which sessions an account began. The log knows, but not by account: they cannot be found there
without reading all of them, and the read model of sessions follows by moments."""

SYSTEM: Final = {
    "one_time_code": """(
        subject text NOT NULL,
        hash text NOT NULL,
        expires_at timestamptz NOT NULL,
        network text NOT NULL,
        tries integer NOT NULL DEFAULT 0,
        displayed boolean NOT NULL,
        PRIMARY KEY (subject, network)
    )""",
    "telegram_link": """(
        phone text PRIMARY KEY,
        telegram text NOT NULL UNIQUE,
        sealed text NOT NULL,
        linked_at timestamptz NOT NULL
    )""",
    "telegram_once": """(
        what text PRIMARY KEY,
        until timestamptz NOT NULL
    )""",
    "device_grant": """(
        device text PRIMARY KEY,
        shown text NOT NULL UNIQUE,
        client text NOT NULL,
        account uuid NOT NULL,
        sealed text NOT NULL,
        answer text NOT NULL DEFAULT 'waiting'
            CHECK (answer IN ('waiting', 'answering', 'approved', 'denied', 'used')),
        tenant text,
        pause integer NOT NULL CHECK (pause > 0),
        polled_at timestamptz,
        expires_at timestamptz NOT NULL,
        CHECK (answer NOT IN ('approved', 'used') OR tenant IS NOT NULL)
    )""",
}
"""None of these belongs to a tenant, and none is in the log: a code or a grant is a secret of
minutes, a phone exists before its account, and a device has no tenant before it is approved.
Phones, addresses, networks, Telegram accounts and codes of grants are keyed digests; what `sealed`
contains is encrypted. `displayed` codes are no secret; `account` is the one that the
device will have."""

SYSTEM_INDEXES: Final = (
    "CREATE INDEX one_time_code_expires_at ON one_time_code (expires_at)",
    "CREATE INDEX telegram_once_until ON telegram_once (until)",
    "CREATE INDEX device_grant_expires_at ON device_grant (expires_at)",
)


def upgrade() -> None:
    """Create it. Accounts and sessions are under row-level security by their tenant in the log."""
    create_service_schema(op)
    create_sequence(op, "account_number")
    create_tenant_tables(op, READ_MODELS, INDEXES)
    create_tenant_tables(op, KEY_USE)
    create_tenant_tables(op, BEGUN, rights=("SELECT", "INSERT", "DELETE"))
    create_attempts(op)
    create_system_tables(op, SYSTEM, SYSTEM_INDEXES)
