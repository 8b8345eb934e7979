"""The whole installation, with services that have nothing inside, on the tests' real servers."""

import ast
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.download import quietly
from deploy.local.ports import is_free
from deploy.local.runtime import process_of, read_runtime
from deploy.local.services import Chore, Service, fetch
from deploy.local.settings import LocalSettings
from deploy.local.stack import AlreadyRunning, Stack
from deploy.local.trouble import CannotStart
from libs.testing.polling import wait_until

Fakes = tuple[Service, ...]


def told(port: int) -> dict[str, str]:
    """The environment a fake service was given."""
    environment: dict[str, str] = ast.literal_eval(fetch(port, "/env") or "{}")
    return environment


def test_services_get_the_addresses_of_everything(stack: Stack, settings: LocalSettings) -> None:
    runtime = read_runtime(settings.home) or {}
    ingest, gateway = (runtime["processes"][name]["port"] for name in ("ingest", "gateway"))
    environment = told(ingest)

    assert gateway == settings.gateway_port
    assert environment["DATABASE_URL"] == settings.database_url
    assert environment["KAFKA_BOOTSTRAP_SERVERS"] == settings.kafka_bootstrap
    assert environment["TILLSTREAM_PROFILE"] == "local"
    assert environment["GATEWAY_INGEST_URL"] == f"http://127.0.0.1:{ingest}"
    assert environment["INGEST_JWKS_URL"] == f"http://127.0.0.1:{gateway}/.well-known/jwks.json"
    key = Path(environment["GATEWAY_SIGNING_KEY_FILE"])
    assert key.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert "GATEWAY_SCAN_CLIENT_KEY_FILE" not in environment


def test_runtime_json_lists_what_runs_and_a_second_start_is_refused(
    stack: Stack, settings: LocalSettings
) -> None:
    stack.publish({"accounts": {"supervisor": "anna"}})

    runtime = read_runtime(settings.home) or {}

    assert runtime["urls"]["gateway"] == stack.gateway_url
    assert runtime["database_url"] == settings.database_url
    assert runtime["accounts"] == {"supervisor": "anna"}
    assert "keys" not in runtime
    for name, record in runtime["processes"].items():
        process = process_of(record)
        assert process is not None
        assert f"tests.deploy.fakes.{name}" in process.cmdline() or name == "preload"
        assert (record["state"], record["restarts"]) == ("ready", 0)
        assert Path(record["log_file"]).exists()
    supervisor = process_of(runtime["supervisor"])
    assert supervisor is not None
    assert supervisor.pid == os.getpid()
    with pytest.raises(AlreadyRunning) as running, Stack(settings, tell=quietly):
        pytest.fail("two at once")
    assert running.value.runtime["urls"]["gateway"] == stack.gateway_url


def test_a_killed_service_comes_back_on_the_same_port_and_is_shown(
    stack: Stack, settings: LocalSettings, said: list[str]
) -> None:
    before = (read_runtime(settings.home) or {})["processes"]["ingest"]
    os.kill(before["pid"], signal.SIGKILL)

    stack.watch(until=lambda: said[-1].startswith("ingest is ready"))

    after = (read_runtime(settings.home) or {})["processes"]["ingest"]
    assert (after["restarts"], after["port"], after["state"]) == (1, before["port"], "ready")
    assert after["pid"] != before["pid"]
    assert "ingest died (exit code -9); starting it again in 0.2 s" in said


def test_a_killed_parent_comes_back_with_all_it_had_forked(
    stack: Stack, settings: LocalSettings, said: list[str]
) -> None:
    before = (read_runtime(settings.home) or {})["processes"]
    os.kill(before["preload"]["pid"], signal.SIGKILL)
    again = {"ingest is ready", "gateway is ready", "preload is ready, restart 1"}

    stack.watch(until=lambda: all(any(line.startswith(one) for line in said[-9:]) for one in again))

    after = (read_runtime(settings.home) or {})["processes"]
    assert not {one["pid"] for one in before.values()} & {one["pid"] for one in after.values()}
    ports = [after[name]["port"] for name in ("ingest", "gateway")]
    wait_until(lambda: all(told(port) != {} for port in ports), what="both answer")


def test_split_runs_api_and_worker_apart_and_leaving_stops_them_in_reverse(
    settings: LocalSettings, fakes: Fakes, said: list[str]
) -> None:
    apart = replace(settings, split=True)
    with Stack(apart, tell=said.append, services=fakes, first=()) as stack:
        stack.up()
        processes = (read_runtime(settings.home) or {})["processes"]

    assert said[-5:] == [f"{name} has stopped" for name in reversed(processes)]
    assert is_free(settings.gateway_port)
    assert read_runtime(settings.home) is None
    names = ["preload", "ingest-api", "ingest-worker", "gateway-api", "gateway-worker"]
    assert list(processes) == names
    assert len({record["port"] for record in processes.values()}) == 5
    assert processes["gateway-api"]["port"] == settings.gateway_port


def test_the_demo_has_a_key_that_scripts_may_read(settings: LocalSettings, fakes: Fakes) -> None:
    demo = replace(settings, profile="demo")
    with Stack(demo, tell=quietly, services=fakes, first=()) as stack:
        stack.up()
        runtime = read_runtime(settings.home) or {}
        file = Path(told(settings.gateway_port)["GATEWAY_SCAN_CLIENT_KEY_FILE"])

        assert runtime["keys"]["scan_client_key"] == file.read_text()
        assert len(file.read_text()) == 43


def test_a_chore_that_fails_stops_the_start_and_shows_why(
    settings: LocalSettings, fakes: Fakes, said: list[str]
) -> None:
    chore = Chore(name="migrate ingest", arguments=("-c", "raise SystemExit('no such table')"))

    with Stack(settings, tell=said.append, services=fakes, first=(chore,)) as stack:
        with pytest.raises(
            CannotStart, match=r"`migrate ingest` failed \(exit code 1\)"
        ) as trouble:
            stack.up()
        assert [slot.program.name for slot in stack.supervisor.slots] == ["preload"]

    assert "no such table" in trouble.value.remedy
