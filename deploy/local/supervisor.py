"""Keep programs running: notice a death, wait, start again; and stop all of them in order."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from deploy.local.backoff import Backoff
from deploy.local.child import Child, Program, wait_ready
from deploy.local.trouble import CannotStart

# Together under the 30 seconds a stop may take, whatever hangs.
SERVICES_STOP_SECONDS = 15.0
SERVERS_STOP_SECONDS = 12.0
# A program that is late for so long hangs. Under load it is late for seconds.
LATE_SECONDS = 30.0


class State(StrEnum):
    """The state of a program as shown to people."""

    STARTING = "starting"
    READY = "ready"
    UNREADY = "not ready"
    WAITING = "restarting"
    STOPPED = "stopped"


@dataclass(kw_only=True)
class Slot:
    """The slot of one program: the running child, or when to start the next one.

    A ready program that does not answer in time stays ready, and is late since `late_since`.
    """

    program: Program
    child: Child | None = None
    state: State = State.STOPPED
    restarts: int = 0
    backoff: Backoff = field(default_factory=Backoff)
    started_at: float = 0.0
    due: float = 0.0
    note: str = ""
    late_since: float | None = None


def _unheard(_: Slot) -> None:
    return None


class Supervisor:
    """Holds the slots in the order they were started. Not safe for several threads at once,
    except `observe`. `changed` is called after every change of a slot's state."""

    def __init__(
        self,
        *,
        changed: Callable[[Slot], None] = _unheard,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots: list[Slot] = []
        self._changed = changed
        self._clock = clock
        self._transition = threading.RLock()

    def start(self, *programs: Program, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Start more programs side by side and wait until all of them are ready.

        Raises `CannotStart` or `Interrupted`; what was started then stays in its slot and is
        ended by `stop`.
        """
        self.wait(self.begin(*programs), interrupted=interrupted)

    def begin(self, *programs: Program) -> list[Slot]:
        """Start more programs without waiting. Raises `CannotStart`."""
        slots = [Slot(program=program) for program in programs]
        self.slots += slots
        for slot in slots:
            self._launch(slot)
        return slots

    def wait(self, slots: Iterable[Slot], *, interrupted: Callable[[], bool]) -> None:
        """Return when all of them are ready. Raises `CannotStart` or `Interrupted`."""
        for slot in slots:
            if slot.child is not None:
                wait_ready(slot.child, interrupted=interrupted)
                self._enter(slot, State.READY)

    def run_once(self) -> None:
        """Look at every program once; restart what is due. Never waits, never raises."""
        for slot in self.slots:
            code = slot.child.exit_code() if slot.child else None
            if slot.child is not None and code is not None:
                slot.child.kill()  # what it started goes with it
                self._died(slot, f"exit code {code}")
            elif slot.state is State.WAITING and self._is_due(slot):
                self._restart(slot)

    def observe(self, *, well: bool = True) -> None:
        """Ask every running program whether it is well, those that were only if `well` says so;
        each that hangs takes up to a second."""
        for slot in self.slots:
            if slot.state is State.STARTING and slot.program.ready():
                self._enter_if(slot, State.STARTING, State.READY)
            elif slot.state is State.READY and (well or slot.late_since is not None):
                if not self._is_well(slot):
                    self._enter_if(slot, State.READY, State.UNREADY)
            elif slot.state is State.UNREADY and slot.program.pulse():
                self._enter_if(slot, State.UNREADY, State.READY)

    def stop(self, *, hurried: Callable[[], bool] = lambda: False) -> None:
        """Stop everything, last started first, in under 30 seconds; at once when `hurried`."""
        for services, budget in ((True, SERVICES_STOP_SECONDS), (False, SERVERS_STOP_SECONDS)):
            deadline = self._clock() + budget
            for slot in reversed(self._running(services=services)):
                self._end(slot, deadline=deadline, hurried=hurried)

    def _is_due(self, slot: Slot) -> bool:
        return self._clock() >= slot.due and slot.program.can_start()

    def _is_well(self, slot: Slot) -> bool:
        """Whether a ready program is ready still, or only late."""
        if (answer := slot.program.pulse()) is not None:
            slot.late_since = None
            return answer
        if slot.late_since is None:
            slot.late_since = self._clock()
        return self._clock() - slot.late_since < LATE_SECONDS

    def _running(self, *, services: bool) -> list[Slot]:
        return [slot for slot in self.slots if slot.program.is_service is services]

    def _end(self, slot: Slot, *, deadline: float, hurried: Callable[[], bool]) -> None:
        if slot.child is not None:
            grace = min(slot.program.grace_seconds, deadline - self._clock())
            in_time = slot.child.stop(grace_seconds=grace, hurried=hurried)
            slot.note = "" if in_time else "had to be killed"
            slot.child = None
        self._enter(slot, State.STOPPED)

    def _launch(self, slot: Slot) -> None:
        slot.started_at = self._clock()
        slot.child = Child(slot.program)
        self._enter(slot, State.STARTING)

    def _restart(self, slot: Slot) -> None:
        slot.restarts += 1
        slot.note = ""
        try:
            self._launch(slot)
        except (CannotStart, OSError) as trouble:
            self._died(slot, str(trouble))

    def _died(self, slot: Slot, note: str) -> None:
        now = self._clock()
        slot.child = None
        slot.backoff = slot.backoff.after_death(ran_seconds=now - slot.started_at)
        slot.due = now + slot.backoff.delay_seconds
        slot.note = note
        self._enter(slot, State.WAITING)

    def _enter_if(self, slot: Slot, expected: State, state: State) -> None:
        """The question took time: the program may have died meanwhile, and that counts more."""
        with self._transition:
            if slot.state is expected:
                self._enter(slot, state)

    def _enter(self, slot: Slot, state: State) -> None:
        with self._transition:
            slot.state = state
            slot.late_since = None
            self._changed(slot)
