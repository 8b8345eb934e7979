"""The whole schema, in one revision. All tables of read models can be rebuilt from the log."""

from typing import Final

from alembic import op

from libs.eventsourcing.past import INDEXES as LOG_BY_TIME
from libs.postgres.idempotency import create_idempotency
from libs.postgres.rls import application_role, create_tenant_tables
from libs.process.service_schema import create_service_schema

revision: Final = "0021"
down_revision: Final = None

_SCAN: Final = """kind text NOT NULL,
        operator text NOT NULL,
        client text NOT NULL,
        city text NOT NULL,
        box text NOT NULL,
        code text NOT NULL,
        details text,
        source text NOT NULL,
        scanned_at timestamptz NOT NULL,
        received_at timestamptz NOT NULL,
        effective_at timestamptz NOT NULL,
        skewed boolean NOT NULL"""

TABLES: Final = {
    "activity": """(
        tenant text NOT NULL,
        day date NOT NULL,
        operator text NOT NULL,
        client text NOT NULL,
        city text NOT NULL,
        kind text NOT NULL,
        count bigint NOT NULL,
        last_received_at timestamptz NOT NULL,
        last_at timestamptz NOT NULL,
        last_scan_id uuid NOT NULL,
        last_box text NOT NULL,
        removed bigint NOT NULL DEFAULT 0,
        changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
        PRIMARY KEY (tenant, day, operator, client, city, kind)
    ) WITH (fillfactor = 70)""",
    # Sums by operator, by client and by city, so that a day without filters is a short list.
    "activity_total": """(
        tenant text NOT NULL,
        day date NOT NULL,
        dimension text NOT NULL,
        name text NOT NULL,
        count bigint NOT NULL,
        removed bigint NOT NULL,
        items bigint NOT NULL,
        opens bigint NOT NULL,
        closes bigint NOT NULL,
        auto_closes bigint NOT NULL,
        errors bigint NOT NULL,
        last_received_at timestamptz NOT NULL,
        last_at timestamptz NOT NULL,
        last_scan_id uuid NOT NULL,
        last_client text NOT NULL,
        last_city text NOT NULL,
        last_box text NOT NULL,
        PRIMARY KEY (tenant, day, dimension, name)
    ) WITH (fillfactor = 70)""",
    "presence": """(
        tenant text NOT NULL,
        operator text NOT NULL,
        last_seen_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, operator)
    ) WITH (fillfactor = 70)""",
    "operator_name": """(
        tenant text NOT NULL,
        operator text NOT NULL,
        spelling text COLLATE "C" NOT NULL,
        received_at timestamptz NOT NULL,
        scanned_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, operator, spelling)
    )""",
    "scan_log": f"""(
        tenant text NOT NULL,
        day date NOT NULL,
        scan_id uuid NOT NULL,
        {_SCAN},
        removed_at timestamptz,
        PRIMARY KEY (tenant, day, scan_id)
    )""",
    # How many rows of `scan_log` were received when, so that no page counts those before it.
    "scan_count": """(
        tenant text NOT NULL,
        day date NOT NULL,
        minutes smallint NOT NULL,
        since timestamptz NOT NULL,
        operator text NOT NULL,
        client text NOT NULL,
        city text NOT NULL,
        kind text NOT NULL,
        count bigint NOT NULL,
        PRIMARY KEY (tenant, day, minutes, since, operator, client, city, kind)
    ) WITH (fillfactor = 70)""",
    "removal": f"""(
        tenant text NOT NULL,
        day date NOT NULL,
        scan_id uuid NOT NULL,
        removal_id uuid NOT NULL,
        removed_at timestamptz NOT NULL,
        removed_by text NOT NULL,
        reason text NOT NULL,
        {_SCAN},
        PRIMARY KEY (tenant, scan_id)
    )""",
    # Turns begin with the device's clock; those of a device whose clock is ahead are apart.
    "box": """(
        tenant text NOT NULL,
        day date NOT NULL,
        client text NOT NULL,
        city text NOT NULL,
        box text NOT NULL,
        operator text NOT NULL,
        number_key text COLLATE "C" NOT NULL,
        items bigint NOT NULL,
        first_at timestamptz NOT NULL,
        last_at timestamptz NOT NULL,
        opened_at timestamptz,
        first_turn text COLLATE "C",
        last_turn text COLLATE "C",
        changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
        first_ahead text COLLATE "C",
        last_ahead text COLLATE "C",
        PRIMARY KEY (tenant, day, client, city, box, operator)
    ) WITH (fillfactor = 70)""",
    # A row may begin with its decision, should that be applied first.
    "quarantine": """(
        tenant text NOT NULL,
        quarantine_id uuid NOT NULL,
        scan_id uuid,
        code text,
        reason text,
        raw text,
        received_at timestamptz,
        status text NOT NULL DEFAULT 'open',
        decided_at timestamptz,
        decided_by text,
        decision text,
        mended_as uuid,
        PRIMARY KEY (tenant, quarantine_id)
    )""",
}

INDEXES: Final = (
    """CREATE INDEX scan_log_newest ON scan_log
        (tenant, day, received_at DESC, scanned_at DESC, scan_id)""",
    # `scan_count` knows which groups have rows, so one index of groups serves operators, clients
    # and kinds. The operator first, so that it is never taken for queries without an operator.
    # Without the order of equal moments: rows of one request are one entry, and are sorted at once.
    """CREATE INDEX scan_log_newest_of_group ON scan_log
        (operator, tenant, day, client, kind, received_at DESC)""",
    """CREATE INDEX scan_log_in_box ON scan_log (tenant, box, day)
        WHERE kind = 'ITEM' AND removed_at IS NULL""",
    "CREATE INDEX removal_newest ON removal (tenant, day DESC, removed_at DESC, scan_id)",
    "CREATE INDEX quarantine_newest ON quarantine (tenant, received_at DESC, quarantine_id)",
    """CREATE INDEX quarantine_by_status ON quarantine
        (tenant, status, received_at DESC, quarantine_id)""",
    "CREATE INDEX quarantine_by_code ON quarantine (tenant, status, code, quarantine_id)",
)

_OF_ITEM: Final = """CASE WHEN type = 'ScanRecorded' AND data ->> 'kind' = 'ITEM'
        THEN hashtextextended(data ->> '{name}', 0) END"""

# Removals ask the log by what lies in a box, whatever the read models know. Stored columns, because
# row-level security lets no index on an expression of `data` be used: its operators are not
# leakproof. Hashes, because eight bytes are less than any name.
ITEMS_IN_LOG: Final = f"""ALTER TABLE events
    ADD COLUMN item_box bigint GENERATED ALWAYS AS ({_OF_ITEM.format(name="box")}) STORED,
    ADD COLUMN item_code bigint GENERATED ALWAYS AS ({_OF_ITEM.format(name="code")}) STORED"""
# The box alone decides where an entry goes, so that writing keeps to few pages: those of the boxes
# being filled. The code is compared within the index.
ITEMS_BY_BOX: Final = """CREATE INDEX events_items_in_box ON events
    (tenant, item_box, occurred_at, item_code) WHERE item_box IS NOT NULL"""

# Answers about the past are worked out in temporary tables. Public by default, but an installation
# may have closed its databases.
TEMPORARY: Final = f"""DO $$ BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO "{application_role("ingest")}"',
        current_database());
END $$"""


def upgrade() -> None:
    """Create it; the log can be read by the time an event is about, and by the boxes of items."""
    create_service_schema(op)
    for statement in (*LOG_BY_TIME, ITEMS_IN_LOG, ITEMS_BY_BOX, TEMPORARY):
        op.execute(statement)
    create_tenant_tables(op, TABLES, INDEXES)
    create_idempotency(op)
