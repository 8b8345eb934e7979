"""Which settings the gateway needs, and which it refuses by name."""

import pytest

from libs.security.sealing import generate_key
from libs.security.tokens import SigningKey
from libs.settings import SettingsFault
from services.gateway.accounts.domain.realm import Workspace
from services.gateway.settings import Settings

NECESSARY = {
    "DATABASE_URL": "postgresql://gateway@127.0.0.1/tillstream",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "GATEWAY_INGEST_URL": "http://127.0.0.1:8001",
    "GATEWAY_SIGNING_KEY": SigningKey.generate().to_pem(),
    "GATEWAY_SEAL_KEYS": f"{generate_key()},{generate_key()}",
    "GATEWAY_REFRESH_KEY": generate_key(),
}


def settings_with(**values: str) -> Settings:
    """The necessary settings, and these with `GATEWAY_` before their names."""
    named = {f"GATEWAY_{name}": value for name, value in values.items()}
    return Settings.from_env("GATEWAY", NECESSARY | named)


def test_the_necessary_is_enough_in_production() -> None:
    settings = settings_with()

    assert settings.rate_limit_storage is None
    assert [str(network) for network in settings.metrics_networks] == ["127.0.0.0/8", "::1/128"]


def test_limits_may_be_switched_off_and_counted_elsewhere() -> None:
    settings = settings_with(
        RATE_LIMIT_INGEST="",
        RATE_LIMIT_STORAGE="async+redis://:a-password@127.0.0.1:6379",
        METRICS_NETWORKS="10.0.0.0/8, ::1",
    )

    assert not settings.rate_limit_ingest
    assert "a-password" not in repr(settings)


def test_doors_are_bound_to_hosts_in_any_spelling() -> None:
    settings = settings_with(HOSTS="scan=Scan.shop.example, scan=scanner.example")

    assert settings.doors_by_host() == {"scan.shop.example": "scan", "scanner.example": "scan"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("RATE_LIMIT_INGEST", text) for text in ("often", "5", "5/blink")),
        ("RATE_LIMIT_DASHBOARD", "5/minute by address"),
        ("RATE_LIMIT_REMOVAL", "by key"),
        ("RATE_LIMIT_EXPORT", "-1/minute"),
        ("RATE_LIMIT_STORAGE", "redis://127.0.0.1"),
        ("RATE_LIMIT_STORAGE", "memory"),
        ("METRICS_NETWORKS", "everybody"),
        ("VERIFY_NETWORKS", "everybody"),
        ("HOSTS", "scan.shop.example"),
        ("HOSTS", "nothing=scan.shop.example"),
        ("HOSTS", "scan=https://scan.shop.example"),
        ("HOSTS", "scan=a.example,scan=A.example"),
        ("REFRESH_GRACE_SECONDS", "31"),
        ("REFRESH_GRACE_SECONDS_KIOSK", "61"),
        ("REFRESH_GRACE_SECONDS_DEVICE", "31"),
        ("TELEGRAM_TOKEN", "no-token"),
        ("TELEGRAM_TOKEN", ""),
        ("TELEGRAM_URL", "https://api.telegram.org/bot"),
        ("TELEGRAM_BOT", "@cvety_bot"),
        ("TELEGRAM_WEBHOOK_URL", "shop.example/hook"),
        *(
            (name, value)
            for name in ("SEAL_KEYS", "REFRESH_KEY")
            for value in ("", ",", "changeme", "c2hvcnQ=", "not base64 at all!")
        ),
    ],
)
def test_an_unfit_value_is_refused_by_name_and_a_key_never_repeated(name: str, value: str) -> None:
    with pytest.raises(SettingsFault) as refused:
        settings_with(**{name: value})

    assert list(refused.value.faults) == [f"GATEWAY_{name}"]
    assert not name.endswith(("KEY", "KEYS")) or len(value) < 2 or value not in str(refused.value)


@pytest.mark.parametrize("name", ["GATEWAY_SEAL_KEYS", "GATEWAY_REFRESH_KEY"])
def test_a_key_that_is_missing_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingsFault) as refused:
        Settings.from_env("GATEWAY", {k: v for k, v in NECESSARY.items() if k != name})

    assert list(refused.value.faults) == [name]


def test_keys_that_seal_are_several_and_a_digest_key_may_outlive_them() -> None:
    old, new = generate_key(), generate_key()
    before = settings_with(SEAL_KEYS=old).seal()
    rotated = settings_with(SEAL_KEYS=f"{new}, {old}").seal()
    after = settings_with(SEAL_KEYS=new, SEAL_DIGEST_KEY=old).seal()

    assert rotated.open(before.seal("a text", "anna"), "anna") == "a text"
    assert after.open(rotated.seal("a text", "anna"), "anna") == "a text"
    digests = {seal.digest("email", "a@example.com") for seal in (before, rotated, after)}
    assert len(digests) == 1


def test_sessions_last_as_their_realm_says_and_a_kiosk_stays_longest() -> None:
    settings = settings_with(SESSION_DAYS_CRM="3")
    term = {
        (realm, role): settings.term_of(Workspace(realm, "demo"), role)
        for realm, role in [
            *(("crm", "ADMIN"), ("kiosk", "admin"), ("kiosk", "kiosk"), ("scales", "bridge")),
            *((realm, "") for realm in ("scales", "crm", "shop", "platform")),
        ]
    }

    assert term["crm", "ADMIN"].lifetime.days == 3
    assert term["kiosk", "admin"].lifetime.days == 7
    assert term["kiosk", "kiosk"].lifetime.days == 90
    assert term["kiosk", "kiosk"].grace.seconds == 60
    assert term["scales", "bridge"].grace.seconds == term["kiosk", "admin"].grace.seconds == 30
    for realm in ("scales", "crm", "shop", "platform"):
        assert term[realm, ""].grace.seconds <= 30
