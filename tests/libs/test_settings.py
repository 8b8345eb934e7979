"""Settings from the environment."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from libs.settings import MASK, ServiceSettings, Settings, SettingsFault, describe

DSN = "postgresql://shop:hunter2@db:5432/till"
OWN = "postgresql://own@db/till"
ENOUGH = {"DATABASE_URL": DSN, "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"}


class Shop(ServiceSettings):
    signing_key: SecretStr = SecretStr("insecure-default")
    old_key: SecretStr | None = None
    origins: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("env", "field", "value"),
    [
        pytest.param({"SHOP_HTTP_PORT": "8123"}, "http_port", 8123, id="the service's own"),
        pytest.param({"TILLSTREAM_TOPIC_PREFIX": "t1"}, "topic_prefix", "t1", id="shared"),
        pytest.param({}, "database_url", SecretStr(DSN), id="shared, by its bare name"),
        pytest.param({"SHOP_DATABASE_URL": OWN}, "database_url", SecretStr(OWN), id="own wins"),
        pytest.param({"HTTP_PORT": "1"}, "http_port", 0, id="not shared, so never bare"),
        pytest.param({"POOL_SIZE": "9"}, "pool_size", 5, id="nor this one"),
    ],
)
def test_a_field_is_read_from_its_variable(env: dict[str, str], field: str, value: object) -> None:
    assert getattr(ServiceSettings.from_env("SHOP", ENOUGH | env), field) == value


def test_a_secret_is_read_from_a_file_and_stripped(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("from-a-file\n", encoding="utf-8")

    shop = Shop.from_env("SHOP", {**ENOUGH, "SHOP_SIGNING_KEY_FILE": str(secret)})

    assert shop.signing_key.get_secret_value() == "from-a-file"


def test_a_list_is_separated_by_commas() -> None:
    env = {**ENOUGH, "SHOP_SIGNING_KEY": "s3cr3t-enough", "SHOP_ORIGINS": "http://a, http://b"}
    assert Shop.from_env("SHOP", env).origins == ("http://a", "http://b")


def test_all_faults_are_reported_at_once_one_line_each_without_secrets(tmp_path: Path) -> None:
    env = {
        "SHOP_DATABASE_URL": "mysql://root:hunter2@db/x",
        "SHOP_HTTP_PORT": "eighty",
        "SHOP_SIGNING_KEY": "changeme",
        "SHOP_OLD_KEY_FILE": str(tmp_path / "nowhere"),
        "TILLSTREAM_PROFILE": "prod",
    }

    with pytest.raises(SettingsFault) as fault:
        Shop.from_env("SHOP", env)

    assert set(fault.value.faults) == {
        "SHOP_DATABASE_URL",
        "SHOP_HTTP_PORT",
        "SHOP_KAFKA_BOOTSTRAP_SERVERS",
        "SHOP_OLD_KEY_FILE",
        "SHOP_PROFILE",
        "SHOP_SIGNING_KEY",
    }
    assert len(str(fault.value).splitlines()) == 6
    assert "KAFKA_BOOTSTRAP_SERVERS" in fault.value.faults["SHOP_KAFKA_BOOTSTRAP_SERVERS"]
    assert "hunter2" not in str(fault.value)
    assert "changeme" not in str(fault.value)


def test_a_missing_variable_given_by_an_unreadable_file_is_one_fault(tmp_path: Path) -> None:
    env = {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "DATABASE_URL_FILE": str(tmp_path / "nowhere")}

    with pytest.raises(SettingsFault) as fault:
        ServiceSettings.from_env("SHOP", env)

    assert list(fault.value.faults) == ["DATABASE_URL_FILE"]


def test_a_variable_given_twice_is_refused(tmp_path: Path) -> None:
    env = {**ENOUGH, "SHOP_HTTP_PORT": "1", "SHOP_HTTP_PORT_FILE": str(tmp_path)}

    with pytest.raises(SettingsFault, match="SHOP_HTTP_PORT: given twice"):
        ServiceSettings.from_env("SHOP", env)


@pytest.mark.parametrize("secret", [None, "", "insecure-default", "Password"])
def test_an_empty_or_default_secret_is_refused_outside_the_demo(secret: str | None) -> None:
    env = ENOUGH if secret is None else {**ENOUGH, "SHOP_SIGNING_KEY": secret}

    with pytest.raises(SettingsFault, match="SHOP_SIGNING_KEY: an empty or default secret"):
        Shop.from_env("SHOP", {**env, "TILLSTREAM_PROFILE": "local"})


def test_a_default_secret_is_allowed_in_the_demo() -> None:
    shop = Shop.from_env("SHOP", {**ENOUGH, "TILLSTREAM_PROFILE": "demo"})

    assert shop.signing_key.get_secret_value() == "insecure-default"


def test_secrets_are_masked_when_settings_are_described_and_nothing_can_be_changed() -> None:
    shop = Shop.from_env("SHOP", {**ENOUGH, "SHOP_SIGNING_KEY": "s3cr3t-enough"})

    described = dict(describe(shop))

    assert described["signing_key"] == MASK
    assert described["old_key"] == "(not set)"
    assert described["database_url"] == f"postgresql://{MASK}@db:5432/till"
    assert described["pool_size"] == "5"
    assert "hunter2" not in repr(shop)
    with pytest.raises(ValueError, match="frozen"):
        shop.http_port = 1


def test_settings_without_a_profile_refuse_weak_secrets() -> None:
    class Small(Settings):
        key: SecretStr

    with pytest.raises(SettingsFault):
        Small.from_env("X", {"X_KEY": "secret"})
