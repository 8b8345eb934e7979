"""A program's state as a line for people and as a record for scripts."""

from collections.abc import Mapping

from deploy.local.runtime import Runtime, process_of
from deploy.local.supervisor import Slot, State


def change_line(slot: Slot) -> str:
    """One line when a program's state has changed."""
    name = slot.program.name
    match slot.state:
        case State.WAITING:
            delay = slot.backoff.delay_seconds
            return f"{name} died ({slot.note}); starting it again in {delay:.1f} s"
        case State.READY:
            again = f", restart {slot.restarts}" if slot.restarts else ""
            return f"{name} is ready{_where(slot)}{again}"
        case State.STARTING:
            return f"{name} is starting …"
        case State.UNREADY:
            return f"{name} runs but says it is not ready; its log is {slot.program.log_file}"
        case State.STOPPED:
            return f"{name} has stopped" + (f" ({slot.note})" if slot.note else "")


def _where(slot: Slot) -> str:
    address = slot.program.url or (f"port {slot.program.port}" if slot.program.port else "")
    return f" ({address})" if address else ""


def process_record(slot: Slot) -> Runtime:
    """The program's entry in `runtime.json`; `started_at` is seconds since 1970, as the system
    tells it, and with the pid names the process for good."""
    child = slot.child
    return {
        "state": slot.state.value,
        "pid": child.pid if child else None,
        "started_at": child.started_at if child else None,
        "port": slot.program.port,
        "url": slot.program.url,
        "restarts": slot.restarts,
        "log_file": str(slot.program.log_file),
        "stop_signal": int(slot.program.stop_signal),
    }


def running_lines(runtime: Mapping[str, object]) -> list[str]:
    """The message when the installation is already running."""
    processes = runtime.get("processes")
    if not isinstance(processes, dict) or not processes:
        return ["Already starting, from another terminal."]
    lines = ["Already running:"]
    for name, record in processes.items():
        state = record["state"] if process_of(record) else "not running"
        where = record["url"] or (f"port {record['port']}" if record["port"] else "")
        lines.append(f"  {name:16} {state:11} {where}  (log: {record['log_file']})")
    return [*lines, "`make status` tells more, `make down` stops it."]
