"""Sums by operator, by client and by city, so that a day without filters is a short list."""

from typing import Final

from alembic import op

from libs.postgres.rls import create_tenant_tables

revision: Final = "0007"
down_revision: Final = "0006"

TOTAL: Final = """(
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
) WITH (fillfactor = 70)"""

# What is counted already. A worker of the version before counts only into `activity`: if one ran on
# afterwards, `rebuild build activity`.
HOLD: Final = "LOCK TABLE activity IN EXCLUSIVE MODE"
FILL: Final = """
INSERT INTO activity_total
SELECT tenant, day, dimension, name, sum(count), sum(removed),
    coalesce(sum(count) FILTER (WHERE kind = 'ITEM'), 0),
    coalesce(sum(count) FILTER (WHERE kind = 'BOX'), 0),
    coalesce(sum(count) FILTER (WHERE kind = 'CLOSE'), 0),
    coalesce(sum(count) FILTER (WHERE kind = 'AUTO_CLOSE'), 0),
    coalesce(sum(count) FILTER (WHERE kind = 'ERROR'), 0),
    (array_agg(last_received_at ORDER BY {latest}))[1],
    (array_agg(last_at ORDER BY {latest}))[1],
    (array_agg(last_scan_id ORDER BY {latest}))[1],
    (array_agg(client ORDER BY {latest}))[1],
    (array_agg(city ORDER BY {latest}))[1],
    (array_agg(last_box ORDER BY {latest}))[1]
FROM activity, LATERAL (
    VALUES ('operator', operator), ('client', client), ('city', city)
) AS each (dimension, name)
GROUP BY tenant, day, dimension, name
"""
LATEST: Final = "last_received_at DESC, last_at DESC, last_scan_id DESC"


def upgrade() -> None:
    """Create the table, fenced by tenant, and fill it from the rows it adds up."""
    create_tenant_tables(op, {"activity_total": TOTAL})
    op.execute(HOLD)
    op.execute(FILL.format(latest=LATEST))
