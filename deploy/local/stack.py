"""The whole installation as one object: what `make up`, the demo and end-to-end tests hold."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import ExitStack

import psutil

from deploy.local import keys, preflight
from deploy.local.child import Program
from deploy.local.chores import Chores
from deploy.local.download import Tell
from deploy.local.embedded import find_kafka, find_postgres
from deploy.local.forked import CAN_FORK, Preloaded
from deploy.local.interruption import Interruption
from deploy.local.observer import Observer
from deploy.local.report import change_line, process_record
from deploy.local.runtime import (
    Runtime,
    forget_runtime,
    only_one,
    read_runtime,
    stop_leftovers,
    write_runtime,
)
from deploy.local.services import (
    GATEWAY,
    SERVICES,
    Backends,
    Chore,
    Service,
    chores,
    environment,
    preloaded_modules,
    service_programs,
)
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import Slot, Supervisor
from deploy.local.trouble import CannotStart

TICK_SECONDS = 0.1


class AlreadyRunning(Exception):
    """Another process runs from the same folder; `runtime` is what it says about itself."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        super().__init__("already running")


class Stack:
    """Use as a context manager around `up` and `watch`; leaving it stops everything in order.

    `with` raises `AlreadyRunning` if an installation runs from the same folder.
    `up` and `watch` start programs that end with the thread that called them: call them from the
    main thread, or from one that lives until `down`.
    """

    def __init__(
        self,
        settings: LocalSettings,
        *,
        tell: Tell,
        interruption: Interruption | None = None,
        services: tuple[Service, ...] = SERVICES,
        first: tuple[Chore, ...] | None = None,
    ) -> None:
        """`first` are the chores before the services: topics and migrations when left out."""
        self.settings = settings
        self.interruption = interruption or Interruption()
        self.backends: Backends | None = None
        self.supervisor = Supervisor(changed=self._changed)
        self.observer = Observer(self.supervisor)
        self._preloaded = Preloaded(
            modules=preloaded_modules(services), log_file=settings.home / "logs" / "preload.log"
        )
        self._tell = tell
        self._services = services
        self._chores = chores(services) if first is None else first
        self._published: dict[str, object] = {}
        self._exit = ExitStack()

    def __enter__(self) -> "Stack":
        with ExitStack() as attempt:
            if not attempt.enter_context(only_one(self.settings.home)):
                raise AlreadyRunning(read_runtime(self.settings.home) or {})
            self._exit = attempt.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._exit:
            self.down()

    @property
    def gateway_url(self) -> str:
        """Where clients knock."""
        return f"http://127.0.0.1:{self.settings.gateway_port}"

    def up(self) -> None:
        """Start everything, each when the one before is ready.

        Raises `CannotStart` or `Interrupted`; what has been started is stopped by `down`.
        """
        left = stop_leftovers(self.settings.home)
        if left:
            self._tell(f"Stopped what an earlier run left behind: {', '.join(left)}.")
        preflight.check(self.settings)
        self._write()
        preloaded = self._begin(self._preloaded.program if CAN_FORK else None)
        kafka, bootstrap = find_kafka(self.settings, self._tell)
        broker = self._begin(kafka)
        postgres, database_url = find_postgres(self.settings)
        self._wait([*self._begin(postgres), *preloaded])
        self.backends = Backends(database_url=database_url, kafka_bootstrap=bootstrap)
        with self._open_chores(self.backends) as chores:
            chores.begin(chore for chore in self._chores if not chore.needs_kafka)
            self._wait(broker)
            chores.begin(chore for chore in self._chores if chore.needs_kafka)
            chores.finish(self.interruption.stopping)
        for programs in self._in_turn(self.backends):
            self._wait(self.supervisor.begin(*map(self._forked, programs)))
        self._preloaded.rest()
        self.observer.start()

    def watch(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Run everything until a stop is requested or `until` returns True."""
        while not self.interruption.stopping() and not until():
            self.supervisor.run_once()
            time.sleep(TICK_SECONDS)

    def down(self) -> None:
        """Stop everything, last started first, in under 30 seconds. Safe to repeat."""
        self.observer.stop()
        self.supervisor.stop(hurried=self.interruption.hurried)
        forget_runtime(self.settings.home)

    def publish(self, facts: Mapping[str, object]) -> None:
        """Add to `runtime.json`, for example the accounts of the demo. JSON values only."""
        self._published |= facts
        self._write()

    def service_environment(self) -> dict[str, str]:
        """The environment of services, for programs that join them later. Only after `up`."""
        if self.backends is None:
            raise CannotStart("Nothing runs yet.", remedy="Call `up` first.")
        return environment(self.settings, self._services, self.backends)

    def _in_turn(self, backends: Backends) -> Iterator[list[Program]]:
        """The programs of all services but the gateway, then the gateway's."""
        behind = {service.name for service in self._services} - {GATEWAY.name}
        programs = service_programs(self.settings, self._services, backends)
        for first in (True, False):
            yield [one for one in programs if _is_of(one, behind) is first]

    def _open_chores(self, backends: Backends) -> Chores:
        return Chores(self.settings, backends, self._services, self._tell, self._forked)

    def _begin(self, program: Program | None) -> list[Slot]:
        return [] if program is None else self.supervisor.begin(program)

    def _wait(self, slots: Iterable[Slot]) -> None:
        self.supervisor.wait(slots, interrupted=self.interruption.stopping)

    def _forked(self, program: Program) -> Program:
        return self._preloaded.forked(program) if CAN_FORK else program

    def _changed(self, slot: Slot) -> None:
        self._write()
        self._tell(change_line(slot))

    def _write(self) -> None:
        write_runtime(self.settings.home, self._runtime())

    def _runtime(self) -> Runtime:
        settings, slots = self.settings, self.supervisor.slots
        secret = keys.folder(settings.home)
        runtime: Runtime = {
            "profile": settings.profile,
            "split": settings.split,
            "supervisor": {"pid": os.getpid(), "started_at": psutil.Process().create_time()},
            "database_url": self.backends.database_url if self.backends else None,
            "kafka_bootstrap_servers": self.backends.kafka_bootstrap if self.backends else None,
            "urls": {slot.program.name: slot.program.url for slot in slots if slot.program.url},
            "files": {"gateway_signing_key": str(secret / "gateway_signing_key.pem")},
            "logs": str(settings.home / "logs"),
            "processes": {slot.program.name: process_record(slot) for slot in slots},
        }
        if settings.profile == "demo":
            client_key = keys.token(settings.home, "scan_client_key")
            runtime["files"]["scan_client_key"] = str(client_key)
            runtime["keys"] = {"scan_client_key": client_key.read_text()}
        return runtime | self._published


def _is_of(program: Program, services: Set[str]) -> bool:
    """A program is named after its service, or after it and its role."""
    return program.name in services or program.name.rpartition("-")[0] in services
