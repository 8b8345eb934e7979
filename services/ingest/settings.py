"""What ingest must be told."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from libs.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from `INGEST_…`, the time zone also from `TIMEZONE`.

    A changed `timezone` counts for new scans at once and for old ones after a rebuild of
    `activity`, `scan_log`, `box` and `removal`. Scans dated before `not_before` are not believed.
    Streams read read models that were written to, `stream_poll_seconds` apart at least, and
    every `stream_idle_seconds` at least. The answer to a batch waits `visible_wait_seconds` at
    most until the dashboard shows it; with 0 it does not wait.
    """

    SHARED: ClassVar[Mapping[str, str]] = {**ServiceSettings.SHARED, "timezone": "TIMEZONE"}

    jwks_url: str = Field(pattern=r"^https?://")
    issuer: str = Field(default="tillstream-gateway", min_length=1)

    timezone: str = "Europe/Moscow"
    not_before: date = date(2015, 1, 1)
    max_body_bytes: int = Field(default=10 * 1024 * 1024, ge=1024)

    online_threshold_seconds: int = Field(default=300, ge=1)
    feed_length: int = Field(default=100, ge=0, le=1000)
    max_range_days: int = Field(default=92, ge=1, le=366)
    parallel_exports: int = Field(default=2, ge=1, le=50)
    parallel_as_of: int = Field(default=2, ge=1, le=50)
    max_streams: int = Field(default=100, ge=1, le=10_000)
    stream_poll_seconds: float = Field(default=0.25, gt=0, le=10)
    stream_idle_seconds: float = Field(default=5.0, gt=0, le=60)
    stream_heartbeat_seconds: float = Field(default=15.0, gt=0, le=30)
    stream_lifetime_seconds: float = Field(default=3600.0, gt=0)
    stale_wait_seconds: float = Field(default=2.0, ge=0, le=10)
    visible_wait_seconds: float = Field(default=0.05, ge=0, le=1)
    sheets_api_url: str = Field(default="https://sheets.googleapis.com", pattern=r"^https?://")

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("must be a time zone such as Europe/Moscow or UTC") from None
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The zone business days begin and end in."""
        return ZoneInfo(self.timezone)

    @property
    def as_of_turns(self) -> int:
        """How many may ask about the past at once; exports and they leave one connection over."""
        return max(1, min(self.parallel_as_of, self.pool_size - 1 - self.export_turns))

    @property
    def export_turns(self) -> int:
        """How many may export at once: at least one connection is left for everybody else."""
        return max(1, min(self.parallel_exports, self.pool_size - 1))

    @property
    def plausible_from(self) -> datetime:
        """The first moment a scan is believed to be of, in UTC."""
        return datetime(
            self.not_before.year, self.not_before.month, self.not_before.day, tzinfo=UTC
        )
