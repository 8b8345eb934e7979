"""The settings of ingest."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import ClassVar

from pydantic import Field

from libs.http.live import StreamSettings
from libs.process.context import ApiSettings
from libs.settings import ServiceSettings, TimeZoneSettings


class Settings(StreamSettings, TimeZoneSettings, ApiSettings):
    """Read from `INGEST_…`, the time zone also from `TIMEZONE`.

    A changed `timezone` applies to new scans at once, and to old ones after a rebuild of
    `activity`, `scan_log`, `box` and `removal`. A device time before `not_before` is rejected. The
    response to a batch waits up to `visible_wait_seconds` until the dashboard shows the batch; 0
    means no wait.
    """

    SHARED: ClassVar[Mapping[str, str]] = {**ServiceSettings.SHARED, "timezone": "TIMEZONE"}

    not_before: date = date(2015, 1, 1)
    max_body_bytes: int = Field(default=10 * 1024 * 1024, ge=1024)

    online_threshold_seconds: int = Field(default=300, ge=1)
    feed_length: int = Field(default=100, ge=0, le=1000)
    max_range_days: int = Field(default=92, ge=1, le=366)
    parallel_exports: int = Field(default=2, ge=1, le=50)
    parallel_as_of: int = Field(default=2, ge=1, le=50)
    stream_poll_seconds: float = Field(default=0.25, gt=0, le=10)
    stream_idle_seconds: float = Field(default=5.0, gt=0, le=60)
    visible_wait_seconds: float = Field(default=0.05, ge=0, le=1)
    sheets_api_url: str = Field(default="https://sheets.googleapis.com", pattern=r"^https?://")

    @property
    def as_of_slots(self) -> int:
        """The number of parallel queries of the past; one connection stays free."""
        return max(1, min(self.parallel_as_of, self.pool_size - 1 - self.export_slots))

    @property
    def export_slots(self) -> int:
        """The number of parallel exports; at least one connection stays free."""
        return max(1, min(self.parallel_exports, self.pool_size - 1))

    @property
    def plausible_from(self) -> datetime:
        """The earliest device time that is accepted, in UTC."""
        return datetime(
            self.not_before.year, self.not_before.month, self.not_before.day, tzinfo=UTC
        )
