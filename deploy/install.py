"""The checkout's virtual environment, made and filled by one program at a time.

`make` runs it with whatever Python there is, so it imports nothing but the standard library. Of two
that start at once the second waits and finds everything done.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--require-hashes", "-r")
FAILED = (
    "The packages could not be installed (see above). Check the network and the disk, then run "
    "the same command again."
)


def environment(folder: Path) -> None:
    """Make the virtual environment `folder` of this Python, unless it is there and works."""
    if runs(folder):
        return
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
    except BaseException:
        # A half of it would look like a whole one.
        shutil.rmtree(folder, ignore_errors=True)
        raise


def packages(stamp: Path, lock: Path, announcement: str) -> None:
    """Install what `lock` names where `stamp` lies, unless the stamp is newer than the lock.

    Raises `SystemExit`.
    """
    if stamp.exists() and stamp.stat().st_mtime_ns >= lock.stat().st_mtime_ns:
        return
    say(announcement)
    done = subprocess.run([stamp.parent / "bin" / "python", *PIP, lock], check=False)
    if done.returncode:
        raise SystemExit(FAILED)
    stamp.touch()


def say(line: str) -> None:
    """Print a line at once, before what other programs print."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def runs(folder: Path) -> bool:
    """Whether there is an environment whose Python has a pip."""
    python = folder / "bin" / "python"
    try:
        done = subprocess.run([python, "-c", "import pip"], check=False, capture_output=True)
    except OSError:
        return False
    return not done.returncode


@contextmanager
def alone(checkout: Path) -> Iterator[None]:
    """Hold the checkout; the operating system lets it go when the holder dies, however it dies."""
    folder = os.open(checkout, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another terminal is just installing the packages. Waiting for it …")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def main(arguments: list[str]) -> None:
    """`environment FOLDER` or `packages STAMP LOCK ANNOUNCEMENT`, relative to the checkout."""
    with alone(CHECKOUT):
        match arguments:
            case ["environment", folder]:
                environment(CHECKOUT / folder)
            case ["packages", stamp, lock, announcement]:
                packages(CHECKOUT / stamp, CHECKOUT / lock, announcement)
            case _:
                raise SystemExit(main.__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
