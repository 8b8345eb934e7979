"""Says as JSON what a program finds in its process, random numbers of every kind included."""

import asyncio
import gc
import json
import os
import random
import secrets
import signal
import sys
import time
import uuid
from pathlib import Path

import uuid_utils.compat

# Drawn while the parent imports it: a generator that was never used has nothing to hand down.
DRAWN = [random.random(), uuid_utils.compat.uuid7()]


def facts() -> dict[str, object]:
    """What must be the same, however the program was started."""
    handlers = {int(one): str(signal.getsignal(one)) for one in signal.valid_signals()}
    return {
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "descriptors": {one.name: kind(one) for one in sorted(Path("/proc/self/fd").iterdir())},
        "signals": handlers,
        "wakeup": signal.set_wakeup_fd(-1),
        "collects": gc.isenabled(),
        "policy": type(asyncio.get_event_loop_policy()).__name__,
        "leads": (os.getpid() == os.getsid(0) == os.getpgid(0)),
        "threads": len([*Path("/proc/self/task").iterdir()]),
        "command": Path("/proc/self/cmdline").read_bytes().rstrip(b"\0").decode().split("\0")[-4:],
    }


def kind(descriptor: Path) -> str:
    """What an open file is: its path, or for example `pipe`."""
    try:
        return str(descriptor.readlink()).partition(":")[0]
    except FileNotFoundError:  # the listing's own
        return ""


def drawn() -> list[str]:
    """What no two programs may have in common."""
    numbers = (random.random(), secrets.token_hex(8), uuid.uuid4(), uuid.uuid1())
    return [*map(str, numbers), str(uuid_utils.compat.uuid7()), str(uuid_utils.compat.uuid4())]


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"facts": facts(), "drawn": drawn()}) + "\n")
    sys.stdout.flush()
    if "ends" in sys.argv:
        sys.exit(3)
    time.sleep(600)
