"""One index of `scan_log` for operators, clients and kinds in the place of one for each.

Every row has to be put into every index. `scan_count` knows which groups of operator, client and
kind have rows, so one index of these groups finds the rows of any of them.
"""

from typing import Final

from alembic import op

revision: Final = "0020"
down_revision: Final = "0017"

GROUPS: Final = "scan_log_newest_of_group"
SINGLE: Final = ("operator", "client", "kind")


def upgrade() -> None:
    """Three indexes become one."""
    # The operator first, so that it is never taken for questions about everybody. Without the order
    # of equal moments: rows of one request are one entry, and are sorted at once.
    op.execute(
        f"CREATE INDEX {GROUPS} ON scan_log (operator, tenant, day, client, kind, received_at DESC)"
    )
    for column in SINGLE:
        op.execute(f"DROP INDEX scan_log_newest_of_{column}")
