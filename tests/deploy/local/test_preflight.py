"""What keeps the installation from starting is one sentence with its remedy."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local import embedded, java, ports, preflight
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


HUSH = "postgresql://me:hush@127.0.0.1:1/shop"
AWAY = "127.0.0.1:1"
TROUBLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a full disk": (lambda home: preflight._disk(home, 42_000_000), "Only 42 MB are free"),
    "an old Python": (lambda _: preflight._python((3, 10)), r"3\.11, 3\.12 or 3\.13 is needed"),
    "a new Python": (lambda _: preflight._python((3, 14)), r"3\.11, 3\.12 or 3\.13 is needed"),
    "a database that does not answer": (
        lambda home: embedded.find_postgres(LocalSettings(home=home, database_url=HUSH)),
        "DATABASE_URL",
    ),
    "a broker that does not answer": (
        lambda home: embedded.find_kafka(LocalSettings(home=home, kafka_bootstrap=AWAY), quietly),
        "KAFKA_BOOTSTRAP_SERVERS",
    ),
    "a Java that does not run": (
        lambda home: java.find_java(home / "nothing"),
        "TILLSTREAM_JAVA names .*nothing, which does not run",
    ),
    "a port that is none": (
        lambda _: LocalSettings.from_env({"GATEWAY_PORT": "http"}),
        "GATEWAY_PORT",
    ),
    "a profile that is none": (
        lambda _: LocalSettings.from_env({"TILLSTREAM_PROFILE": "prod"}),
        "TILLSTREAM_PROFILE",
    ),
}


@pytest.mark.parametrize("what", TROUBLES)
def test_faults_before_the_start_are_reported_without_passwords(home: Path, what: str) -> None:
    check, sentence = TROUBLES[what]

    with pytest.raises(CannotStart, match=sentence) as trouble:
        check(home)

    assert "hush" not in str(trouble.value)


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


def test_programs_that_do_not_listen_yet_have_ports_of_their_own(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [port for port in ports.CANDIDATES if is_free(port)][:4]
    monkeypatch.setattr(ports, "CANDIDATES", few)

    assert {remembered_port(home, name) for name in ("a", "b", "c", "d")} == {*few}
