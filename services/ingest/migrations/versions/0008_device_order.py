"""The order of one device's scans is its own clock's: turns of boxes, and the newest rows."""

from typing import Final

from alembic import op

revision: Final = "0008"
down_revision: Final = "0007"

# What is counted already is counted anew. A worker of the version before writes turns without the
# device's clock: if one ran on afterwards, `rebuild box`.
HOLD: Final = "LOCK TABLE box, scan_log IN EXCLUSIVE MODE"
NEWEST: Final = {
    "scan_log_newest": "tenant, day",
    "scan_log_newest_of_operator": "tenant, day, operator",
    "scan_log_newest_of_client": "tenant, day, client",
    "scan_log_newest_of_kind": "tenant, day, kind",
}


def _moment(column: str) -> str:
    return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"


def _fill(*moments: str) -> str:
    return f"""
UPDATE box SET first_turn = turns.first_turn, last_turn = turns.last_turn
FROM (
    SELECT tenant, day, client, city, box, operator, min(turn) AS first_turn, max(turn) AS last_turn
    FROM scan_log, LATERAL (
        SELECT concat_ws(' ', {", ".join(map(_moment, moments))}, scan_id, kind) COLLATE "C" AS turn
    ) AS each
    WHERE kind IN ('BOX', 'CLOSE', 'AUTO_CLOSE') AND box <> ''
    GROUP BY tenant, day, client, city, box, operator
) AS turns
WHERE box.tenant = turns.tenant AND box.day = turns.day AND box.client = turns.client
    AND box.city = turns.city AND box.box = turns.box AND box.operator = turns.operator
"""  # noqa: S608  # every name is ours


FILL: Final = _fill("scanned_at", "effective_at", "received_at")
FILL_AS_BEFORE: Final = _fill("effective_at", "received_at")


def _sort(fill: str, *, newest: str) -> None:
    op.execute(HOLD)
    op.execute(fill)
    for index, columns in NEWEST.items():
        op.execute(f"DROP INDEX {index}")
        order = f"{columns}, received_at DESC, {newest} DESC, scan_id"
        op.execute(f"CREATE INDEX {index} ON scan_log ({order})")


def upgrade() -> None:
    """Turns begin with the device's clock; the newest rows go by it after the time of receipt."""
    _sort(FILL, newest="scanned_at")


def downgrade() -> None:
    """Back to the time that counts."""
    _sort(FILL_AS_BEFORE, newest="effective_at")
