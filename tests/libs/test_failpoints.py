"""Failpoints kill or stop a process at a named point, in tests only."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from libs.failpoints import POINTS, NotArmed, arm, failpoint
from libs.testing.polling import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).parents[2]
PROGRAM = """
from libs import failpoints
failpoints.arm()
for n in range(5):
    failpoints.failpoint("relay-saving")
    failpoints.failpoint("relay-saved")
    print(n, flush=True)
"""


def run_program(spec: str, profile: str = "test") -> subprocess.Popen[str]:
    env = os.environ | {"TILLSTREAM_FAILPOINT": spec, "TILLSTREAM_PROFILE": profile}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(
    ("spec", "left"), [("relay-saved", 0), ("relay-saved=kill", 0), ("relay-saving=kill@3", 2)]
)
def test_a_process_is_killed_at_the_armed_point(spec: str, left: int) -> None:
    with run_program(spec) as process:
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == -signal.SIGKILL
    assert len(output.splitlines()) == left


def test_a_stopped_process_goes_on_after_sigcont() -> None:
    with run_program("relay-saved=stop@2") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        wait_until(psutil.Process(process.pid).status, psutil.STATUS_STOPPED)
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, output) == (0, "1\n2\n3\n4\n")


@pytest.mark.parametrize("profile", ["production", "local", "demo", ""])
def test_outside_of_tests_an_armed_process_does_not_start(profile: str) -> None:
    with run_program("relay-saved", profile) as process:
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, output) == (1, "")
    assert "failpoints exist in the profile test alone" in errors


@pytest.mark.parametrize(
    "spec",
    ["tick", "relay-saved=explode", "relay-saved=kill@0", "relay-saved=kill@often", "=kill"],
)
def test_an_invalid_failpoint_is_refused(spec: str) -> None:
    with pytest.raises(NotArmed, match="no failpoint"):
        arm({"TILLSTREAM_PROFILE": "test", "TILLSTREAM_FAILPOINT": spec})


def test_an_unarmed_failpoint_does_nothing() -> None:
    arm({})

    for point in POINTS:
        failpoint(point)


def test_every_point_is_in_the_code_exactly_once() -> None:
    calls = [
        node.args[0].value
        for file in (ROOT / "libs").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "failpoint"
        and isinstance(node.args[0], ast.Constant)
    ]

    assert sorted(map(str, calls)) == sorted(POINTS)


def test_no_service_arms_a_failpoint() -> None:
    callers = [
        file
        for room in ("libs", "services", "deploy", "contracts")
        for file in (ROOT / room).rglob("*.py")
        if "failpoints.arm" in file.read_text() or "import arm" in file.read_text()
    ]

    assert callers == []
