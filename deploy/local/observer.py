"""Watch the running programs from the side: health, memory, and figures from `/metrics`."""

import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

import psutil

from deploy.local.memory import memory_by_program
from deploy.local.metrics import Figures, Sample, figures_between, read_totals
from deploy.local.services import fetch
from deploy.local.supervisor import Slot, Supervisor

EVERY_SECONDS = 1.0
# Of those turns: a program that was well is asked again, its figures are read, memory is added up.
# Without a view, figures are read for the summaries alone, for all of it costs at rest.
WELL_EVERY = 5
ATTENDED_EVERY, UNATTENDED_EVERY = 2, 10
MEMORY_EVERY = 10


class Observer:
    """A thread that asks once a second; what it found may be read at any time.

    `attended` says that a person watches the figures change.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self.figures: Mapping[str, Figures] = {}
        self.memory: Mapping[str, int] = {}
        self.attended = False
        self._supervisor = supervisor
        self._samples: dict[str, Sample] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        """Begin watching."""
        self._thread.start()

    def stop(self) -> None:
        """End watching; returns when the thread has ended."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def observe(self, *, well: bool = True, figures: bool = True, memory: bool = True) -> None:
        """Collect faults, and figures and memory if required."""
        self._supervisor.observe(well=well)
        slots = list(self._supervisor.slots)
        if figures:
            self.figures = {slot.program.name: self._figures(slot) for slot in slots}
        if memory:
            self.memory = memory_by_program(_processes(slots))

    def _run(self) -> None:
        turn = 0
        while not self._ended.wait(EVERY_SECONDS if turn else 0):
            figures = ATTENDED_EVERY if self.attended else UNATTENDED_EVERY
            self.observe(
                well=turn % WELL_EVERY == 0,
                figures=turn % figures == 0,
                memory=turn % MEMORY_EVERY == 0,
            )
            turn += 1

    def _figures(self, slot: Slot) -> Figures:
        name, port = slot.program.name, slot.program.port
        body = fetch(port, "/metrics") if slot.program.is_service and port else None
        if body is None:
            self._samples.pop(name, None)
            return Figures()
        try:
            sample = Sample(at=time.monotonic(), totals=read_totals(body))
        except ValueError:
            return Figures()
        figures = figures_between(self._samples.get(name), sample)
        self._samples[name] = sample
        return figures


def _processes(slots: Iterable[Slot]) -> dict[str, psutil.Process]:
    processes = {}
    for slot in slots:
        if (child := slot.child) is not None:
            with suppress(psutil.NoSuchProcess):
                processes[slot.program.name] = psutil.Process(child.pid)
    return processes
