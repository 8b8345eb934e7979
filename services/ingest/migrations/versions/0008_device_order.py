"""The order of one device's scans is its own clock's: turns of boxes, and the newest rows."""

from typing import Final

from alembic import op

revision: Final = "0008"
down_revision: Final = "0007"

# What is counted already is counted anew. A worker of the version before writes turns without the
# device's clock: if one ran on afterwards, `rebuild build box`.
HOLD: Final = "LOCK TABLE box, scan_log IN EXCLUSIVE MODE"
AHEAD: Final = ("first_ahead", "last_ahead")
NEWEST: Final = {
    "scan_log_newest": "tenant, day",
    "scan_log_newest_of_operator": "tenant, day, operator",
    "scan_log_newest_of_client": "tenant, day, client",
    "scan_log_newest_of_kind": "tenant, day, kind",
}
FILLED: Final = {
    "first_turn": "min(turn) FILTER (WHERE NOT skewed)",
    "last_turn": "max(turn) FILTER (WHERE NOT skewed)",
    "first_ahead": "min(turn) FILTER (WHERE skewed)",
    "last_ahead": "max(turn) FILTER (WHERE skewed)",
}
MOMENTS: Final = ", ".join(
    f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
    for column in ("scanned_at", "effective_at", "received_at")
)
FILL: Final = f"""
UPDATE box SET {", ".join(f"{column} = turns.{column}" for column in FILLED)}
FROM (
    SELECT tenant, day, client, city, box, operator,
        {", ".join(f"{turn} AS {column}" for column, turn in FILLED.items())}
    FROM scan_log, LATERAL (
        SELECT concat_ws(' ', {MOMENTS}, scan_id, kind) COLLATE "C" AS turn
    ) AS each
    WHERE kind IN ('BOX', 'CLOSE', 'AUTO_CLOSE') AND box <> ''
    GROUP BY tenant, day, client, city, box, operator
) AS turns
WHERE box.tenant = turns.tenant AND box.day = turns.day AND box.client = turns.client
    AND box.city = turns.city AND box.box = turns.box AND box.operator = turns.operator
"""  # noqa: S608  # every name is ours


def upgrade() -> None:
    """Turns begin with the device's clock; the newest rows go by it after the time of receipt."""
    op.execute(HOLD)
    for column in AHEAD:
        op.execute(f'ALTER TABLE box ADD COLUMN {column} text COLLATE "C"')
    op.execute(FILL)
    for index, columns in NEWEST.items():
        op.execute(f"DROP INDEX {index}")
        order = f"{columns}, received_at DESC, scanned_at DESC, scan_id"
        op.execute(f"CREATE INDEX {index} ON scan_log ({order})")
