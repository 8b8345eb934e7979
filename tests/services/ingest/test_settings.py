"""The settings of ingest."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from libs.settings import SettingsFault
from services.ingest.settings import Settings

NEEDED = {
    "DATABASE_URL": "postgresql://ingest:s3cr3t-s3cr3t@localhost/tillstream",
    "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092",
    "INGEST_JWKS_URL": "http://127.0.0.1:8080/.well-known/jwks.json",
}


def test_few_settings_are_required() -> None:
    settings = Settings.from_env("INGEST", NEEDED)

    assert settings.zone == ZoneInfo("Europe/Moscow")
    assert settings.plausible_from == datetime(2015, 1, 1, tzinfo=UTC)
    assert settings.feed_length == 100


def test_the_zone_is_shared_or_set_for_ingest() -> None:
    assert Settings.from_env("INGEST", NEEDED | {"TIMEZONE": "UTC"}).zone == ZoneInfo("UTC")
    both = NEEDED | {"TIMEZONE": "UTC", "INGEST_TIMEZONE": "Asia/Omsk"}
    assert Settings.from_env("INGEST", both).zone == ZoneInfo("Asia/Omsk")


@pytest.mark.parametrize("zone", ["Moscow", "", "../etc/passwd", "Europe/Nowhere"])
def test_an_unknown_zone_is_an_error(zone: str) -> None:
    with pytest.raises(SettingsFault) as refused:
        Settings.from_env("INGEST", NEEDED | {"TIMEZONE": zone})

    assert set(refused.value.faults) == {"INGEST_TIMEZONE"}
