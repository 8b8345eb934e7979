"""The profile of a scale: shop, group, price list, model, verification date; reminders.

Columns of `device`, which can be rebuilt from the log.
"""

from typing import Final

from alembic import op

revision: Final = "0005_profile"
down_revision: Final = "0004_bridge"

COLUMNS: Final = (
    "profile_version bigint NOT NULL DEFAULT 0",
    "shop text NOT NULL DEFAULT ''",
    "shop_group text NOT NULL DEFAULT ''",
    "price_list text NOT NULL DEFAULT ''",
    "model text NOT NULL DEFAULT ''",
    "serial_number text NOT NULL DEFAULT ''",
    "next_verification date",
    "reminded_version bigint NOT NULL DEFAULT 0",
    "reminded_of date",
    "reminded_days integer",
)


def upgrade() -> None:
    """Add the columns; every profile is empty so far."""
    op.execute(f"ALTER TABLE device {', '.join(f'ADD COLUMN {column}' for column in COLUMNS)}")
    op.execute(
        "CREATE INDEX device_verification ON device (next_verification)"
        " WHERE next_verification IS NOT NULL"
    )
