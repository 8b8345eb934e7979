"""Checks before the start: each fault is one sentence with its remedy."""

import os
import shutil
import sys
from pathlib import Path

from deploy.local import ports
from deploy.local.settings import LocalSettings
from deploy.local.trouble import CannotStart

OLDEST, TOO_NEW = (3, 11), (3, 14)
DISK_BYTES = 1_000_000_000


def check(settings: LocalSettings) -> None:
    """Raises `CannotStart` for the first fault that would keep the installation from working."""
    _python(sys.version_info[:2])
    _system(sys.platform)
    _home(settings.home)
    _disk(settings.home, shutil.disk_usage(settings.home).free)
    _gateway_port(settings.gateway_port)


def _python(version: tuple[int, ...]) -> None:
    if not OLDEST <= version < TOO_NEW:
        raise CannotStart(
            f"This is Python {'.'.join(map(str, version))}; 3.11, 3.12 or 3.13 is needed.",
            remedy="Install one of them, remove the folder .venv and run the command again.",
        )


def _system(platform: str) -> None:
    if platform not in {"linux", "darwin"}:
        raise CannotStart(
            f"The embedded servers do not run on {platform}.",
            remedy="Use Linux, macOS, or the Linux subsystem of Windows.",
        )


def _home(home: Path) -> None:
    if not os.access(home, os.W_OK | os.X_OK):
        raise CannotStart(
            f"{home} may not be written to; it belongs to another user.",
            remedy="Run the command as that user, or let root or that user `make reset`.",
        )


def _disk(home: Path, free_bytes: int) -> None:
    if free_bytes < DISK_BYTES:
        raise CannotStart(
            f"Only {free_bytes // 1_000_000} MB are free where {home} is; 1 GB is needed.",
            remedy="Make room, or set TILLSTREAM_DATA to a folder on a larger disk.",
        )


def _gateway_port(port: int) -> None:
    if not ports.is_free(port):
        raise CannotStart(
            f"Port {port}, where the gateway would listen, is taken by another program.",
            remedy=f"Stop that program, or choose another port: make up GATEWAY_PORT={port + 1}",
        )
