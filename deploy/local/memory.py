"""Memory as proportional set size: a page that several processes share is divided among them."""

from collections.abc import Iterator, Mapping

import psutil


def memory_by_program(processes: Mapping[str, psutil.Process]) -> dict[str, int]:
    """Bytes of each program by name: of its process, and of those it started that are none of the
    others. So the sum is what all of them take. 0 for one that is gone; resident memory, shared
    pages included, where the system does not tell the share."""
    names = {process.pid: name for name, process in processes.items()}
    sizes = dict.fromkeys(processes, 0)
    for pid, name in _descent(names):
        sizes[name] += _share(pid)
    return sizes


def _descent(names: Mapping[int, str]) -> Iterator[tuple[int, str]]:
    """Every process that belongs to a name: its own, or that of its nearest ancestor with one."""
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
