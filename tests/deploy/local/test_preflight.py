"""What keeps the installation from starting is one sentence with its remedy."""

import re
import socket
from pathlib import Path

import pytest

from deploy.local import embedded, java, preflight
from deploy.local.download import quietly
from deploy.local.ports import free_port, is_free, remembered_port
from deploy.local.settings import LocalSettings
from deploy.local.trouble import CannotStart


def test_a_healthy_machine_passes(home: Path) -> None:
    preflight.check(LocalSettings(home=home, gateway_port=free_port()))


def test_a_busy_gateway_port_is_named_with_the_next_one_to_try(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(CannotStart) as trouble:
            preflight.check(LocalSettings(home=home, gateway_port=port))

    assert f"Port {port}" in trouble.value.sentence
    assert f"make up GATEWAY_PORT={port + 1}" in trouble.value.remedy


def test_a_full_disk_is_named_with_what_is_free(home: Path) -> None:
    with pytest.raises(CannotStart, match="Only 42 MB are free"):
        preflight._disk(home, 42_000_000)


@pytest.mark.parametrize("version", [(3, 10), (3, 14)])
def test_a_python_of_the_wrong_age_is_named(version: tuple[int, int]) -> None:
    with pytest.raises(CannotStart, match=re.escape("3.11, 3.12 or 3.13 is needed")):
        preflight._python(version)


def test_a_database_that_does_not_answer_is_named_without_its_password(home: Path) -> None:
    url = f"postgresql://me:hush@127.0.0.1:{free_port()}/shop"

    with pytest.raises(CannotStart, match="DATABASE_URL") as trouble:
        embedded.find_postgres(LocalSettings(home=home, database_url=url))

    assert "hush" not in str(trouble.value)


def test_a_broker_that_does_not_answer_is_named(home: Path) -> None:
    settings = LocalSettings(home=home, kafka_bootstrap=f"127.0.0.1:{free_port()}")

    with pytest.raises(CannotStart, match="KAFKA_BOOTSTRAP_SERVERS"):
        embedded.find_kafka(settings, quietly)


def test_a_java_that_does_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"TILLSTREAM_JAVA names .*nothing, which does not run"):
        java.find_java(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("variable", "value"), [("GATEWAY_PORT", "http"), ("TILLSTREAM_PROFILE", "prod")]
)
def test_a_setting_that_cannot_be_understood_is_named(variable: str, value: str) -> None:
    with pytest.raises(CannotStart, match=variable):
        LocalSettings.from_env({variable: value})


def test_the_environment_chooses() -> None:
    settings = LocalSettings.from_env(
        {"SPLIT": "1", "GATEWAY_PORT": "8081", "DATABASE_URL": "postgresql://x", "SEED": "7"}
    )

    assert (settings.split, settings.gateway_port) == (True, 8081)
    assert (settings.database_url, settings.kafka_bootstrap) == ("postgresql://x", None)


def test_a_port_is_kept_while_it_is_free_and_replaced_when_it_is_not(home: Path) -> None:
    port = remembered_port(home, "ingest")
    assert is_free(port)
    assert remembered_port(home, "ingest") == port

    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert remembered_port(home, "ingest") != port
