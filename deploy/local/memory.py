"""Resident memory of a program with everything it started."""

import psutil


def resident_bytes(process: psutil.Process, *, alone: bool = False) -> int:
    """Bytes of the process and, unless `alone`, its descendants; 0 when it is gone.

    Memory that several of them share counts once where the system tells (PSS): the sum of their
    RSS would show Postgres's buffers once per connection.
    """
    try:
        family = [process, *([] if alone else process.children(recursive=True))]
    except psutil.Error:
        return 0
    return sum(_share(member) for member in family)


def _share(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
