"""Deleting rows that are over, a few at a time beside other work."""

from datetime import datetime

from libs.postgres.pool import Connection

PRUNED_AT_ONCE = 100


async def prune(connection: Connection, table: str, column: str, until: datetime) -> None:
    """Delete some rows whose time in `column` is not after `until`, of all the connection sees.

    Locked rows are left for the next call, so concurrent calls do not wait for each other.
    """
    await connection.execute(
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608 -- names from the code
        f"SELECT ctid FROM {table} WHERE {column} <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
        until,
        PRUNED_AT_ONCE,
    )
