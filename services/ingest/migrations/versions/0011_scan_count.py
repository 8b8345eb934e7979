"""How many rows of `scan_log` were received when, so that no page counts those before it."""

from typing import Final

from alembic import op

from libs.postgres.rls import create_tenant_tables

revision: Final = "0011"
down_revision: Final = "0010"

COUNT: Final = """(
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
) WITH (fillfactor = 70)"""

# What is there already. A worker of the version before writes rows without counting them: if one
# ran on afterwards, `rebuild build scan_log`.
HOLD: Final = "LOCK TABLE scan_log IN EXCLUSIVE MODE"
FILL: Final = """
INSERT INTO scan_count
SELECT tenant, day, minutes, date_bin(make_interval(mins => minutes), received_at, 'epoch'),
    operator, client, city, kind, count(*) FILTER (WHERE removed_at IS NULL)
FROM scan_log, (VALUES (60::smallint), (1::smallint)) AS grain (minutes)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""


def upgrade() -> None:
    """Create the table, fenced by tenant, and count what is there."""
    create_tenant_tables(op, {"scan_count": COUNT})
    op.execute(HOLD)
    op.execute(FILL)
