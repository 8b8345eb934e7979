"""What became of quarantined events."""

from typing import Final

from alembic import op

revision: Final = "0005"
down_revision: Final = "0004"

ARRIVED: Final = ("code", "reason", "raw", "received_at")
DECIDED: Final = {
    "status": "text NOT NULL DEFAULT 'open'",
    "decided_at": "timestamptz",
    "decided_by": "text",
    "decision": "text",
    "mended_as": "uuid",
}
INDEXES: Final = {
    "quarantine_by_status": """CREATE INDEX quarantine_by_status
        ON quarantine (tenant, status, received_at DESC, quarantine_id)""",
    "quarantine_by_code": """CREATE INDEX quarantine_by_code
        ON quarantine (tenant, status, code, quarantine_id)""",
}


def upgrade() -> None:
    """Add the decision; a row may begin with it, should it be heard of first."""
    for column in ARRIVED:
        op.execute(f"ALTER TABLE quarantine ALTER COLUMN {column} DROP NOT NULL")
    for column, definition in DECIDED.items():
        op.execute(f"ALTER TABLE quarantine ADD COLUMN {column} {definition}")
    for index in INDEXES.values():
        op.execute(index)
