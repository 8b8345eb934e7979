"""Fail points: they end or stop a process where they say, and exist in tests alone."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from libs.failpoints import POINTS, NotArmed, arm, reach
from libs.testing.waiting import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).parents[2]
PASSES = """
from libs import failpoints
failpoints.arm()
for n in range(5):
    failpoints.reach("relay-saving")
    failpoints.reach("relay-saved")
    print(n, flush=True)
"""


def pass_by(failpoint: str, profile: str = "test") -> subprocess.Popen[str]:
    env = os.environ | {"TILLSTREAM_FAILPOINT": failpoint, "TILLSTREAM_PROFILE": profile}
    return subprocess.Popen(
        [sys.executable, "-c", PASSES],
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(
    ("failpoint", "left"), [("relay-saved", 0), ("relay-saved=kill", 0), ("relay-saving=kill@3", 2)]
)
def test_a_process_is_killed_where_it_was_said(failpoint: str, left: int) -> None:
    with pass_by(failpoint) as process:
        said, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == -signal.SIGKILL
    assert len(said.splitlines()) == left


def test_a_process_is_stopped_and_goes_on_when_it_is_told() -> None:
    with pass_by("relay-saved=stop@2") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        wait_until(psutil.Process(process.pid).status, psutil.STATUS_STOPPED)
        process.send_signal(signal.SIGCONT)
        said, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, said) == (0, "1\n2\n3\n4\n")


@pytest.mark.parametrize("profile", ["production", "local", "demo", ""])
def test_outside_of_tests_an_armed_process_does_not_start(profile: str) -> None:
    with pass_by("relay-saved", profile) as process:
        said, trouble = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, said) == (1, "")
    assert "fail points exist in the profile test alone" in trouble


@pytest.mark.parametrize(
    "words",
    ["tick", "relay-saved=explode", "relay-saved=kill@0", "relay-saved=kill@often", "=kill"],
)
def test_words_that_name_no_fail_point_are_refused(words: str) -> None:
    with pytest.raises(NotArmed, match="no fail point"):
        arm({"TILLSTREAM_PROFILE": "test", "TILLSTREAM_FAILPOINT": words})


def test_unarmed_every_point_is_passed_by() -> None:
    arm({})

    for point in POINTS:
        reach(point)


def test_the_points_are_those_the_code_comes_to_each_once() -> None:
    reached = [
        node.args[0].value
        for file in (ROOT / "libs").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "reach"
        and isinstance(node.args[0], ast.Constant)
    ]

    assert sorted(map(str, reached)) == sorted(POINTS)


def test_no_service_arms_any() -> None:
    callers = [
        file
        for room in ("libs", "services", "deploy", "contracts")
        for file in (ROOT / room).rglob("*.py")
        if "failpoints.arm" in file.read_text() or "import arm" in file.read_text()
    ]

    assert callers == []
