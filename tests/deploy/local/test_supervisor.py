"""What dies is started again, later each time; what is stopped is stopped in reverse order."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from deploy.local import ports, services
from deploy.local.backoff import HEALTHY_SECONDS, Backoff
from deploy.local.child import Program
from deploy.local.observer import Observer
from deploy.local.supervisor import LATE_SECONDS, Slot, State, Supervisor
from deploy.local.trouble import CannotStart
from deploy.local.view import summary
from libs.testing.clock import MonotonicClock
from libs.testing.polling import PATIENCE_SECONDS, wait_until

SLEEP = "import time; time.sleep(600)"
Make = Callable[..., Program]
History = list[tuple[str, State]]


@pytest.fixture
def clock() -> MonotonicClock:
    return MonotonicClock()


@pytest.fixture
def history() -> History:
    return []


@pytest.fixture
def supervisor(clock: MonotonicClock, history: History) -> Iterator[Supervisor]:
    def changed(slot: Slot) -> None:
        history.append((slot.program.name, slot.state))

    supervisor = Supervisor(changed=changed, clock=clock)
    yield supervisor
    supervisor.stop()


def tick_until(supervisor: Supervisor, state: State) -> Slot:
    """Tick until the first program is in `state`."""
    [slot, *_] = supervisor.slots

    def reached() -> bool:
        if slot.state is not state:
            supervisor.run_once()
        return slot.state is state

    wait_until(reached)
    return slot


def test_a_killed_program_is_started_again_after_its_wait(
    supervisor: Supervisor, clock: MonotonicClock, python: Make
) -> None:
    supervisor.start(python(SLEEP))
    first = pid_of(supervisor.slots[0])
    os.kill(first, signal.SIGKILL)

    slot = tick_until(supervisor, State.WAITING)
    assert (slot.note, slot.backoff.delay_seconds) == ("exit code -9", 0.2)
    supervisor.run_once()
    assert slot.child is None

    clock.now += 0.2
    supervisor.run_once()
    supervisor.observe()

    assert slot.state is State.READY
    assert slot.restarts == 1
    assert pid_of(slot) != first


def test_programs_started_together_are_there_before_one_of_them_is_ready(
    supervisor: Supervisor, history: History, python: Make
) -> None:
    def all_are_there() -> bool:
        return all(slot.child is not None for slot in supervisor.slots)

    first = python(SLEEP, name="store", ready=all_are_there)
    supervisor.start(first, python(SLEEP, name="door"))

    assert history == [
        ("store", State.STARTING),
        ("door", State.STARTING),
        ("store", State.READY),
        ("door", State.READY),
    ]


def test_the_wait_grows_with_every_death_and_a_healthy_run_resets_it(
    supervisor: Supervisor, clock: MonotonicClock, python: Make
) -> None:
    supervisor.start(python(SLEEP))
    waits = []
    for ran_seconds in (0, 1, HEALTHY_SECONDS - 1, HEALTHY_SECONDS):
        slot = supervisor.slots[0]
        clock.now += ran_seconds
        os.kill(pid_of(slot), signal.SIGKILL)
        tick_until(supervisor, State.WAITING)
        waits.append(slot.backoff.delay_seconds)
        clock.now += 10
        supervisor.run_once()

    assert waits == pytest.approx([0.2, 0.4, 0.8, 0.2])


def test_a_restart_that_cannot_even_begin_waits_again(
    supervisor: Supervisor, clock: MonotonicClock, python: Make
) -> None:
    preparations = 0

    def prepare() -> None:
        nonlocal preparations
        preparations += 1
        if preparations == 2:
            raise CannotStart("The disk is full.", remedy="Make room.")

    supervisor.start(replace(python(SLEEP), prepare=prepare))
    os.kill(pid_of(supervisor.slots[0]), signal.SIGKILL)
    slot = tick_until(supervisor, State.WAITING)

    clock.now += 1
    supervisor.run_once()
    assert (slot.state, slot.note) == (State.WAITING, "The disk is full. Make room.")
    clock.now += 1
    supervisor.run_once()

    assert slot.state is State.STARTING


def test_a_program_that_is_not_ready_is_reported_and_left_running(
    supervisor: Supervisor, python: Make
) -> None:
    well = True
    supervisor.start(python(SLEEP, ready=lambda: well))
    slot = supervisor.slots[0]
    pid = pid_of(slot)

    states = []
    for well in (False, False, True):  # noqa: B007  # the program's answer reads it
        supervisor.observe()
        states.append(slot.state)

    assert states == [State.UNREADY, State.UNREADY, State.READY]
    assert pid_of(slot) == pid


def test_a_program_that_answers_late_is_killed_only_if_it_never_answers(
    supervisor: Supervisor, clock: MonotonicClock, python: Make
) -> None:
    answer: bool | None = True
    supervisor.start(python(SLEEP, ready=lambda: answer))
    [slot] = supervisor.slots
    lines = []
    story = [(None, 1.0), (None, LATE_SECONDS - 2), (True, 1.0), (None, 1.0), (False, 1.0)]
    for answer, seconds in [*story, (True, 1.0), (None, 1.0), (None, LATE_SECONDS)]:  # noqa: B007
        clock.now += seconds
        supervisor.observe()
        lines.append(summary(supervisor.slots, Observer(supervisor)).partition(",")[0])

    late, ready, away = "1 of 1 ready (1 slow to answer)", "1 of 1 ready", "0 of 1 ready"
    assert lines == [late, late, ready, late, away, ready, late, away]
    assert slot.state is State.UNREADY


ANSWERS = {
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n": True,
    "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n": False,
    "": None,
}


@pytest.mark.parametrize(("answer", "well"), ANSWERS.items(), ids=["ready", "not ready", "silent"])
def test_silence_an_answer_and_a_closed_port_are_distinguished(
    monkeypatch: pytest.MonkeyPatch, answer: str, well: bool | None
) -> None:
    monkeypatch.setattr(services, "ASK_SECONDS", 0.2 if well is None else PATIENCE_SECONDS)
    with socket.create_server((ports.LOOPBACK, 0)) as server, ThreadPoolExecutor(1) as pool:
        port = server.getsockname()[1]
        asked = pool.submit(services.says_ready, port)
        client, _ = server.accept()
        with client:
            client.sendall(answer.encode())
            assert asked.result() is well
    assert services.says_ready(port) is False


def test_programs_stop_in_the_reverse_order_of_their_start(
    supervisor: Supervisor, history: History, python: Make
) -> None:
    supervisor.start(replace(python(SLEEP, name="store"), is_service=False))
    supervisor.start(python(SLEEP, name="worker"))
    supervisor.start(python(SLEEP, name="door"))
    history.clear()

    supervisor.stop()
    supervisor.run_once()  # starts none of them again

    assert history == [
        ("door", State.STOPPED),
        ("worker", State.STOPPED),
        ("store", State.STOPPED),
    ]
    assert [slot.child for slot in supervisor.slots] == [None, None, None]


def pid_of(slot: Slot) -> int:
    assert slot.child is not None
    return slot.child.pid


@pytest.mark.parametrize(
    ("deaths", "seconds"),
    [(0, 0.0), (1, 0.2), (2, 0.4), (3, 0.8), (4, 1.6), (5, 3.2), (6, 6.4), (7, 10.0), (5000, 10.0)],
)
def test_the_wait_doubles_up_to_ten_seconds(deaths: int, seconds: float) -> None:
    assert Backoff(deaths=deaths).delay_seconds == pytest.approx(seconds)
