"""A single server of the installation, for tests and other programs."""

from dataclasses import dataclass, field
from typing import Self

from deploy.local.child import Child, Program, wait_ready


@dataclass(kw_only=True)
class Server:
    """One running server. Leaving it as a context manager stops it."""

    program: Program
    child: Child = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    @property
    def pid(self) -> int:
        """The server's process id; another one after every start."""
        return self.child.pid

    def start(self) -> None:
        """Start (again) and wait until ready. Raises `CannotStart`, with nothing left running."""
        self.child = Child(self.program)
        try:
            wait_ready(self.child)
        except BaseException:
            self.child.kill()
            raise

    def stop(self) -> None:
        """An orderly stop, or a hard one when the grace is over."""
        self.child.stop()

    def kill(self) -> None:
        """Kill the server with SIGKILL, as in a crash."""
        self.child.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
