"""What the fork server becomes while nothing is to be forked: a process without its imports.

Run as a script: `python -I -S resting.py <module> …`, in the fork server's own process, so that its
children and its pipes stay. It still answers which child has ended. At the first word of a request,
which it leaves unread, it becomes the fork server again. It ends when its input does.

The pages a fork server shares with its children cost nothing. But a child soon writes to many of
them, if only to count references, and then has its own: those of the parent serve no one any more.
"""

import os
import select
import signal
import sys

AGAIN = "--again"
"""Says to the fork server that it has children already."""


def rest(modules: list[str]) -> None:
    """Wait for a request or for the end of the input."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    answer(1, '{"ready": 0}')
    reap(1)  # what has ended meanwhile
    poller = select.poll()
    for descriptor in (0, reading):
        poller.register(descriptor, select.POLLIN)
    while True:
        events = dict(poller.poll())
        if reading in events:
            os.read(reading, 1024)
            reap(1)
        if events.get(0, 0) & select.POLLIN:
            server = ("-m", "deploy.local.fork_server", AGAIN, *modules)
            os.execv(sys.executable, (sys.executable, *server))  # noqa: S606  # no shell is the point
        if 0 in events:
            return


def reap(answers: int) -> None:
    """Say at a descriptor how every child ended that has."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        answer(answers, f'{{"ended": {pid}, "code": {os.waitstatus_to_exitcode(status)}}}')


def answer(answers: int, line: str) -> None:
    """Write one line; short enough to arrive whole."""
    os.write(answers, f"{line}\n".encode())


if __name__ == "__main__":
    rest(sys.argv[1:])
