"""Scales: their catalogues, the work on them, who speaks to which, and what people are shown.

`device` and `operation` can be rebuilt from the log, and `catalogue_copy` is made again as it is
needed. `content` cannot: events name catalogues by their MD5 only.
"""

from typing import Final

from alembic import op

from libs.postgres.leases import create_leases
from libs.postgres.rls import create_sequence, create_tables, create_tenant_tables

revision: Final = "0002_scales"
down_revision: Final = "0001"

TABLES: Final = {
    "device": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        version bigint NOT NULL DEFAULT 0,
        number bigint,
        owner uuid,
        name text,
        description text,
        ip text,
        port integer,
        protocol text,
        bridge uuid,
        removed boolean NOT NULL DEFAULT false,
        catalogue_version bigint NOT NULL DEFAULT 0,
        revision bigint NOT NULL DEFAULT 0,
        confirmed bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (tenant, device_id)
    ) WITH (fillfactor = 70)""",
    "operation": """(
        tenant text NOT NULL,
        operation_id uuid NOT NULL,
        version bigint NOT NULL DEFAULT 0,
        device_id uuid NOT NULL,
        kind text,
        full_upload boolean,
        asked_by text,
        stage text NOT NULL,
        outcome text,
        code text,
        detail text,
        result integer,
        revision bigint,
        content text,
        items bigint,
        attempts integer NOT NULL DEFAULT 0,
        queued_at timestamptz,
        began_at timestamptz,
        ended_at timestamptz,
        PRIMARY KEY (tenant, operation_id)
    ) WITH (fillfactor = 70)""",
    "device_name": """(
        tenant text NOT NULL,
        owner uuid NOT NULL,
        name text NOT NULL,
        device_id uuid NOT NULL,
        taken_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant, owner, name)
    )""",
    "content": """(
        tenant text NOT NULL,
        md5 text NOT NULL,
        file bytea NOT NULL,
        items bigint NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant, md5)
    )""",
    "catalogue_copy": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        revision bigint NOT NULL,
        content text NOT NULL,
        version bigint,
        confirmed bigint,
        since bigint,
        valid boolean,
        on_scale text,
        kept_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant, device_id, revision, content)
    )""",
    "work": """(
        tenant text NOT NULL,
        operation_id uuid NOT NULL,
        device_id uuid NOT NULL,
        bridge uuid,
        not_before timestamptz NOT NULL,
        deadline_at timestamptz NOT NULL,
        claimed_by text,
        claimed_until timestamptz,
        PRIMARY KEY (tenant, operation_id)
    )""",
    "last_shown": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        operation_id uuid NOT NULL,
        shown bytea NOT NULL,
        PRIMARY KEY (tenant, device_id)
    )""",
}

SHARED: Final = {
    "breaker": """(
        endpoint text PRIMARY KEY,
        failures integer NOT NULL,
        shut_until timestamptz
    ) WITH (fillfactor = 50)""",
}
"""One scale may be several tenants': whose turn it is and whether it is dead is the same for all.
Nothing of theirs stands here."""

INDEXES: Final = (
    "CREATE INDEX device_of_owner ON device (tenant, owner, number)",
    "CREATE INDEX operation_newest ON operation (tenant, device_id, queued_at DESC, operation_id)",
    """CREATE INDEX operation_ended ON operation
        (tenant, device_id, ended_at DESC, operation_id DESC)""",
    "CREATE INDEX catalogue_copy_content ON catalogue_copy (tenant, content)",
    "CREATE INDEX work_next ON work (not_before)",
)


def upgrade() -> None:
    """Create the tables, those of tenants fenced."""
    create_sequence(op, "device_number")
    create_tenant_tables(op, TABLES, INDEXES)
    create_leases(op)
    create_tables(op, SHARED)
