"""A row of `scan_log` as a response."""

from zoneinfo import ZoneInfo

from libs.postgres.query import Row
from services.ingest.scans.api.responses import LogRow
from services.ingest.scans.domain.day import format_time, unix_ms


def log_row(row: Row, zone: ZoneInfo) -> LogRow:
    """The row with all its fields; `zone` is for the times as texts."""
    return LogRow(
        uuid=str(row["scan_id"]),
        ts=format_time(row["effective_at"], zone),
        type=row["kind"],
        operator=row["operator"],
        client=row["client"],
        city=row["city"],
        box=row["box"],
        code=row["code"],
        details=row["details"],
        received_at=format_time(row["received_at"], zone),
        source=row["source"],
        ts_ms=unix_ms(row["effective_at"]),
        received_at_ms=unix_ms(row["received_at"]),
        device_ts_ms=unix_ms(row["scanned_at"]),
        skewed=row["skewed"],
    )
