"""Two first starts at once install once, and neither tears the other's environment."""

import os
import subprocess
import sys
import threading
import venv
from pathlib import Path

import pytest

from deploy import install

# Makes a folder slowly, as an environment or a download is made: half of it is there for a while.
SLOW = """
import sys, time
from pathlib import Path
from deploy import install
checkout = Path(sys.argv[1])
def create(folder, with_pip):
    (folder / "bin").mkdir(parents=True)
    time.sleep(0.3)
    (folder / "bin" / "python").symlink_to(sys.executable)
    with (checkout / "made").open("a") as made:
        made.write("x")
install.venv.create = create
install.CHECKOUT = checkout
install.main(["environment", ".venv"])
"""


def test_programs_that_start_concurrently_create_one_environment(tmp_path: Path) -> None:
    programs = [
        subprocess.Popen([sys.executable, "-c", SLOW, tmp_path], cwd=install.CHECKOUT)
        for _ in range(4)
    ]

    assert [program.wait() for program in programs] == [0] * 4
    assert (tmp_path / "made").read_text() == "x"
    assert install.runs(tmp_path / ".venv")


def test_packages_are_installed_by_one_of_several_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin").mkdir()
    pip = tmp_path / "bin" / "python"
    pip.write_text("#!/bin/sh\nsleep 0.2; echo installed\n")
    pip.chmod(0o755)
    (tmp_path / "lock").touch()
    monkeypatch.setattr(install, "CHECKOUT", tmp_path)
    command = ["packages", "stamp", "lock", "Installing …"]
    threads = [threading.Thread(target=install.main, args=[command]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert capfd.readouterr().out.count("installed") == 1

    newer = (tmp_path / "stamp").stat().st_mtime + 1
    os.utime(tmp_path / "lock", (newer, newer))
    install.main(command)
    assert capfd.readouterr().out == "Installing …\ninstalled\n"


def test_a_failed_installation_leaves_no_stamp(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("/bin/false")
    (tmp_path / "lock").touch()

    with pytest.raises(SystemExit, match="could not be installed"):
        install.packages(tmp_path / "stamp", tmp_path / "lock", "Installing …")
    assert not (tmp_path / "stamp").exists()


def test_an_incomplete_environment_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder: Path, with_pip: bool) -> None:
        (folder / "bin").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(venv, "create", interrupted)

    with pytest.raises(KeyboardInterrupt):
        install.environment(tmp_path / ".venv")
    assert not (tmp_path / ".venv").exists()
