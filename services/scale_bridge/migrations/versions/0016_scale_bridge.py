"""The whole schema, in one revision."""

from typing import Final

from alembic import op

from libs.postgres.leases import create_leases
from libs.postgres.rls import create_sequence, create_tables, create_tenant_tables
from libs.process.service_schema import create_service_schema

revision: Final = "0016_one_price_reaction"
down_revision: Final = None

READ_MODELS: Final = {
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
        profile_version bigint NOT NULL DEFAULT 0,
        shop text NOT NULL DEFAULT '',
        shop_group text NOT NULL DEFAULT '',
        price_list text NOT NULL DEFAULT '',
        model text NOT NULL DEFAULT '',
        serial_number text NOT NULL DEFAULT '',
        next_verification date,
        reminded_version bigint NOT NULL DEFAULT 0,
        reminded_of date,
        reminded_days integer,
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
    "schedule": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        removed boolean NOT NULL,
        version integer NOT NULL,
        enabled boolean NOT NULL,
        interval_minutes integer,
        next_run_at timestamptz,
        running uuid,
        claimed_at timestamptz,
        last_run_at timestamptz,
        last_status text,
        last_error text,
        calendar jsonb,
        slot timestamptz,
        skipped_at timestamptz,
        skipped_due_at timestamptz,
        skipped_runs integer,
        skipped_reason text,
        PRIMARY KEY (tenant, device_id)
    )""",
    "shown": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        plu text NOT NULL,
        seen_at timestamptz NOT NULL,
        operation_id uuid NOT NULL,
        product jsonb,
        PRIMARY KEY (tenant, device_id, plu, seen_at, operation_id)
    )""",
    "showing": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        plu text NOT NULL,
        seen_at timestamptz NOT NULL,
        operation_id uuid NOT NULL,
        product jsonb,
        PRIMARY KEY (tenant, device_id, plu)
    ) WITH (fillfactor = 70)""",
    "reading": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        at timestamptz NOT NULL,
        told_by uuid NOT NULL,
        kind text NOT NULL,
        PRIMARY KEY (tenant, device_id, at, told_by, kind)
    )""",
    "desired": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        plu text NOT NULL,
        code text,
        fields jsonb NOT NULL,
        revision integer NOT NULL,
        source text NOT NULL,
        PRIMARY KEY (tenant, device_id, plu)
    )""",
    "price_delivery": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        plu text NOT NULL,
        price_id uuid NOT NULL,
        version bigint NOT NULL,
        article bigint NOT NULL,
        price double precision NOT NULL,
        changed boolean NOT NULL,
        revision bigint NOT NULL,
        valid_at timestamptz NOT NULL,
        announced_at timestamptz NOT NULL,
        taken_at timestamptz NOT NULL,
        overridden_at timestamptz,
        overridden_by text,
        PRIMARY KEY (tenant, device_id, plu, price_id)
    ) WITH (fillfactor = 70)""",
}
"""Those of the log, which can be rebuilt."""

STORES: Final = {
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
        taken jsonb,
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
        moved bigint,
        total bigint,
        PRIMARY KEY (tenant, operation_id)
    )""",
    "last_shown": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        operation_id uuid NOT NULL,
        shown bytea NOT NULL,
        PRIMARY KEY (tenant, device_id)
    )""",
    "bridge": """(
        tenant text NOT NULL,
        bridge_id uuid NOT NULL,
        owner uuid,
        name text NOT NULL DEFAULT '',
        public_key bytea,
        connection uuid,
        program text NOT NULL DEFAULT '',
        heard_at timestamptz,
        working integer NOT NULL DEFAULT 0,
        completed bigint NOT NULL DEFAULT 0,
        completed_at timestamptz,
        PRIMARY KEY (tenant, bridge_id)
    ) WITH (fillfactor = 70)""",
    "handed": """(
        tenant text NOT NULL,
        bridge_id uuid NOT NULL,
        errand_id uuid NOT NULL,
        operation_id uuid NOT NULL,
        device_id uuid NOT NULL,
        deadline_at timestamptz NOT NULL,
        kind text NOT NULL,
        address text NOT NULL,
        port integer NOT NULL,
        revision bigint NOT NULL,
        content text,
        attempts integer NOT NULL,
        moved bigint NOT NULL DEFAULT 0,
        total bigint,
        PRIMARY KEY (tenant, bridge_id, errand_id)
    ) WITH (fillfactor = 70)""",
    "price": """(
        tenant text NOT NULL,
        price_id uuid NOT NULL,
        article bigint NOT NULL,
        price double precision NOT NULL,
        valid_at timestamptz NOT NULL,
        announced_by text NOT NULL,
        announced_at timestamptz NOT NULL,
        trace text NOT NULL,
        kept_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant, price_id)
    )""",
}
"""What cannot be rebuilt. `catalogue_copy` is made again as it is needed. `content` is lost for
ever: events name catalogues by their MD5 only. `price` is what the shop's topic said, which may be
read again from its beginning, as far as the topic goes. Without `handed` the tasks of agents end as
unknown, and without `bridge` agents present their keys again."""

SHARED: Final = {
    "breaker": """(
        endpoint text PRIMARY KEY,
        failures integer NOT NULL,
        shut_until timestamptz
    ) WITH (fillfactor = 50)""",
    "pace": """(
        endpoint text PRIMARY KEY,
        next_at timestamptz NOT NULL
    ) WITH (fillfactor = 50)""",
}
"""One scale may be several tenants': whose turn it is, when the next connection may be made, and
whether it is dead is the same for all. Nothing of theirs stands here."""

INDEXES: Final = (
    "CREATE INDEX device_of_owner ON device (tenant, owner, number)",
    """CREATE INDEX device_verification ON device (next_verification)
        WHERE next_verification IS NOT NULL""",
    "CREATE INDEX operation_newest ON operation (tenant, device_id, queued_at DESC, operation_id)",
    """CREATE INDEX operation_ended ON operation
        (tenant, device_id, ended_at DESC, operation_id DESC)""",
    "CREATE INDEX schedule_due ON schedule (next_run_at) WHERE enabled AND NOT removed",
    "CREATE INDEX schedule_running ON schedule (claimed_at) WHERE running IS NOT NULL",
    "CREATE INDEX shown_seen ON shown (tenant, device_id, seen_at)",
    "CREATE INDEX reading_kind ON reading (tenant, device_id, kind, at)",
    "CREATE INDEX desired_code ON desired (tenant, code)",
    "CREATE INDEX price_delivery_price ON price_delivery (tenant, price_id)",
    "CREATE INDEX catalogue_copy_content ON catalogue_copy (tenant, content)",
    "CREATE INDEX work_next ON work (not_before)",
    "CREATE INDEX handed_operation ON handed (tenant, operation_id)",
    "CREATE INDEX price_article ON price (tenant, article, valid_at, announced_at, price_id)",
    "CREATE INDEX price_valid ON price (valid_at)",
    "CREATE INDEX price_kept ON price (kept_at)",
)


def upgrade() -> None:
    """Create it, what belongs to tenants under row-level security."""
    create_service_schema(op)
    create_sequence(op, "device_number")
    create_tenant_tables(op, READ_MODELS | STORES, INDEXES)
    create_leases(op)
    create_tables(op, SHARED)
