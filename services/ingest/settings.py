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
    `activity` and `scan_log`. Scans dated before `not_before` are not believed.
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
    stale_wait_seconds: float = Field(default=2.0, ge=0, le=10)

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
    def plausible_from(self) -> datetime:
        """The first moment a scan is believed to be of, in UTC."""
        return datetime(
            self.not_before.year, self.not_before.month, self.not_before.day, tzinfo=UTC
        )
