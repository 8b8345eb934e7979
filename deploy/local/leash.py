"""Start a program that cannot outlive the process that started it (Linux), as another user or not.

Run as a script: `python -I -S leash.py <signal> <parent> <uid> <gid> <program> [argument …]`, with
-1 for "the same user". A wrapper instead of a hook between fork and exec: such a hook may
deadlock once the parent has threads, and newer Pythons warn about it.
Mind: Linux sends the signal when the *thread* that started the program ends, so start programs
from the main thread or from one that lives as long as they do.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def become(uid: int, gid: int) -> None:
    """Give up root for good; must come before the leash, which a change of user takes off."""
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def tie(signal: int, parent: int) -> None:
    """Have the kernel send us `signal` when the parent dies; end now if it already has."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal)
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Read the arguments, then be the program: the process id stays the same."""
    signal, parent, uid, gid = map(int, sys.argv[1:5])
    become(uid, gid)
    tie(signal, parent)
    os.execv(sys.argv[5], sys.argv[5:])  # noqa: S606  # no shell is the point


if __name__ == "__main__":
    main()
