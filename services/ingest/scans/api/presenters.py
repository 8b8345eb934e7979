"""From a row of `scan_log` to what clients read."""

from zoneinfo import ZoneInfo

from libs.postgres.query import Row
from services.ingest.scans.api.answers import LogRow
from services.ingest.scans.domain.day import unix_ms, written


def log_row(row: Row, zone: ZoneInfo) -> LogRow:
    """A row of `scan_log` in full."""
    return LogRow(
        uuid=str(row["scan_id"]),
        ts=written(row["effective_at"], zone),
        type=row["kind"],
        operator=row["operator"],
        client=row["client"],
        city=row["city"],
        box=row["box"],
        code=row["code"],
        details=row["details"],
        received_at=written(row["received_at"], zone),
        source=row["source"],
        ts_ms=unix_ms(row["effective_at"]),
        received_at_ms=unix_ms(row["received_at"]),
        device_ts_ms=unix_ms(row["scanned_at"]),
        skewed=row["skewed"],
    )
