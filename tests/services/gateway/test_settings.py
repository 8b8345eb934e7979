"""What the gateway must be told."""

import pytest

from libs.security.tokens import SigningKey
from libs.settings import SettingsFault
from services.gateway.settings import Settings

TOLD = {
    "DATABASE_URL": "postgresql://gateway@127.0.0.1/tillstream",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "GATEWAY_INGEST_URL": "http://127.0.0.1:8001",
    "GATEWAY_SIGNING_KEY": SigningKey.generate().to_pem(),
}


def test_the_necessary_is_enough_in_production() -> None:
    settings = Settings.from_env("GATEWAY", TOLD)

    assert settings.rate_limit_storage is None
    assert [str(network) for network in settings.metrics_networks] == ["127.0.0.0/8", "::1/128"]


def test_limits_may_be_switched_off_and_counted_elsewhere() -> None:
    told = {
        "GATEWAY_RATE_LIMIT_INGEST": "",
        "GATEWAY_RATE_LIMIT_STORAGE": "async+redis://:a-password@127.0.0.1:6379",
        "GATEWAY_METRICS_NETWORKS": "10.0.0.0/8, ::1",
    }

    settings = Settings.from_env("GATEWAY", TOLD | told)

    assert not settings.rate_limit_ingest
    assert "a-password" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_RATE_LIMIT_INGEST", "often"),
        ("GATEWAY_RATE_LIMIT_DASHBOARD", "5/minute by address"),
        ("GATEWAY_RATE_LIMIT_REMOVAL", "by key"),
        ("GATEWAY_RATE_LIMIT_EXPORT", "-1/minute"),
        ("GATEWAY_RATE_LIMIT_STORAGE", "redis://127.0.0.1"),
        ("GATEWAY_RATE_LIMIT_STORAGE", "memory"),
        ("GATEWAY_METRICS_NETWORKS", "everybody"),
    ],
)
def test_a_limit_that_is_none_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsFault) as refused:
        Settings.from_env("GATEWAY", TOLD | {name: value})

    assert list(refused.value.faults) == [name]
