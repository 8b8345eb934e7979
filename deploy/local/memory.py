"""Memory as proportional set size: a page that several processes share is divided among them."""

from collections.abc import Iterator, Mapping

import psutil


def memory_by_program(processes: Mapping[str, psutil.Process]) -> dict[str, int]:
    """Bytes of each program by name: of its process, and of those it started that are none of the
    others. So the sum is what all of them take. 0 for one that is gone; resident memory, shared
    pages included, where the system does not tell the share."""
    sizes = dict.fromkeys(processes, 0)
    for pid, name in members(processes):
        sizes[name] += _share(pid)
    return sizes


def members(processes: Mapping[str, psutil.Process]) -> Iterator[tuple[int, str]]:
    """The id of every process that belongs to a program, and the program's name: the nearest one
    among the process and its ancestors."""
    names = {process.pid: name for name, process in processes.items()}
    parents = {process.pid: process.info["ppid"] for process in psutil.process_iter(["ppid"])}
    for pid in parents:
        ancestor: int | None = pid
        while ancestor is not None and ancestor not in names:
            ancestor = parents.get(ancestor)
        if ancestor is not None:
            yield pid, names[ancestor]


def _share(pid: int) -> int:
    try:
        process = psutil.Process(pid)
        return int(process.memory_info().rss if (pss := _pss(process)) is None else pss)
    except psutil.Error:
        return 0


def _pss(process: psutil.Process) -> int | None:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.AccessDenied, AttributeError):
        return None
