"""Files a reader never sees half written, and logs that do not grow for ever."""

import os
from pathlib import Path

LOG_BYTES = 10_000_000
TAIL_BYTES = 8_192


def write_whole(file: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace the file's content in one step; its folder is made when missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as out:
        out.write(text)
    draft.replace(file)


def rotate(log: Path, *, limit_bytes: int = LOG_BYTES) -> None:
    """Put a log that has grown past the limit aside as `<name>.1`, forgetting the one before."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > limit_bytes:
        log.replace(log.with_name(f"{log.name}.1"))


def tail(log: Path, *, lines: int = 8) -> str:
    """The last lines of a log, or nothing when there is no log."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
