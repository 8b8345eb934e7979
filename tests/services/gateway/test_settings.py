"""What the gateway must be told."""

import pytest

from libs.security.sealing import generate_key
from libs.security.tokens import SigningKey
from libs.settings import SettingsFault
from services.gateway.domain.realm import Place
from services.gateway.settings import Settings

TOLD = {
    "DATABASE_URL": "postgresql://gateway@127.0.0.1/tillstream",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "GATEWAY_INGEST_URL": "http://127.0.0.1:8001",
    "GATEWAY_SIGNING_KEY": SigningKey.generate().to_pem(),
    "GATEWAY_SEAL_KEYS": f"{generate_key()},{generate_key()}",
    "GATEWAY_REFRESH_KEY": generate_key(),
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


def test_doors_are_bound_to_hosts_in_any_spelling() -> None:
    told = {"GATEWAY_HOSTS": "scan=Scan.shop.example, scan=scanner.example"}

    settings = Settings.from_env("GATEWAY", TOLD | told)

    assert settings.doors_by_host() == {"scan.shop.example": "scan", "scanner.example": "scan"}


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
        ("GATEWAY_VERIFY_NETWORKS", "everybody"),
        ("GATEWAY_HOSTS", "scan.shop.example"),
        ("GATEWAY_HOSTS", "nothing=scan.shop.example"),
        ("GATEWAY_HOSTS", "scan=https://scan.shop.example"),
        ("GATEWAY_HOSTS", "scan=a.example,scan=A.example"),
    ],
)
def test_a_limit_that_is_none_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsFault) as refused:
        Settings.from_env("GATEWAY", TOLD | {name: value})

    assert list(refused.value.faults) == [name]


def test_keys_that_seal_are_several_and_a_digest_key_may_outlive_them() -> None:
    old, new = generate_key(), generate_key()
    before = Settings.from_env("GATEWAY", TOLD | {"GATEWAY_SEAL_KEYS": old}).seal()
    rotated = Settings.from_env("GATEWAY", TOLD | {"GATEWAY_SEAL_KEYS": f"{new}, {old}"}).seal()
    told = TOLD | {"GATEWAY_SEAL_KEYS": new, "GATEWAY_SEAL_DIGEST_KEY": old}
    after = Settings.from_env("GATEWAY", told).seal()

    assert rotated.open(before.seal("a text", "anna"), "anna") == "a text"
    assert after.open(rotated.seal("a text", "anna"), "anna") == "a text"
    digests = {seal.digest("email", "a@example.com") for seal in (before, rotated, after)}
    assert len(digests) == 1


@pytest.mark.parametrize("name", ["GATEWAY_SEAL_KEYS", "GATEWAY_REFRESH_KEY"])
@pytest.mark.parametrize("value", [None, "", ",", "changeme", "c2hvcnQ=", "not base64 at all!"])
def test_a_key_that_is_none_is_refused_by_name_and_never_repeated(
    name: str, value: str | None
) -> None:
    told = {key: given for key, given in TOLD.items() if key != name}

    with pytest.raises(SettingsFault) as refused:
        Settings.from_env("GATEWAY", told if value is None else told | {name: value})

    assert list(refused.value.faults) == [name]
    assert not value or len(value) < 2 or value not in str(refused.value)


def test_sessions_last_as_their_realm_says_and_a_kiosk_stays_longest() -> None:
    settings = Settings.from_env("GATEWAY", TOLD | {"GATEWAY_SESSION_DAYS_CRM": "3"})

    days = {
        (realm, role): settings.term_of(Place(realm, "demo"), role).lifetime.days
        for realm, role in [("crm", "ADMIN"), ("kiosk", "admin"), ("kiosk", "kiosk")]
    }

    assert days == {("crm", "ADMIN"): 3, ("kiosk", "admin"): 7, ("kiosk", "kiosk"): 90}
    assert settings.term_of(Place("kiosk", "demo"), "kiosk").grace.seconds <= 60
    for place in (Place("kiosk", "demo"), Place("scales", "demo")):
        role = {"kiosk": "kiosk", "scales": "bridge"}[place.realm]
        assert settings.term_of(place, role).grace.seconds == 30
    for realm in ("scales", "crm", "shop", "platform"):
        assert settings.term_of(Place(realm, "demo"), "").grace.seconds <= 30


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_REFRESH_GRACE_SECONDS", "31"),
        ("GATEWAY_REFRESH_GRACE_SECONDS_KIOSK", "61"),
        ("GATEWAY_REFRESH_GRACE_SECONDS_DEVICE", "31"),
    ],
)
def test_the_grace_of_a_refresh_is_short(name: str, value: str) -> None:
    with pytest.raises(SettingsFault) as refused:
        Settings.from_env("GATEWAY", TOLD | {name: value})

    assert list(refused.value.faults) == [name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_TELEGRAM_TOKEN", "no-token"),
        ("GATEWAY_TELEGRAM_TOKEN", ""),
        ("GATEWAY_TELEGRAM_URL", "https://api.telegram.org/bot"),
        ("GATEWAY_TELEGRAM_BOT", "@cvety_bot"),
        ("GATEWAY_TELEGRAM_WEBHOOK_URL", "shop.example/hook"),
    ],
)
def test_what_telegram_would_not_take_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsFault) as refused:
        Settings.from_env("GATEWAY", TOLD | {name: value})

    assert list(refused.value.faults) == [name]
