"""Check the chains of a topic: no record is missing, out of order, or doubled by mistake."""

from collections import defaultdict
from collections.abc import Sequence

from libs.messaging.wire import Record, decode


def numbers_of(records: Sequence[Record]) -> list[int]:
    """The distinct sequence numbers of all records, sorted."""
    return sorted({decode(record).relay_seq for record in records})


def faults_of(records: Sequence[Record]) -> list[str]:
    """The faults in the chains of the partitions; an identical repeat is no fault."""
    lanes: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in records:
        lanes[record.topic, record.partition].append(record)
    return [fault for lane in lanes.values() for fault in _faults_of_lane(lane)]


def _faults_of_lane(records: Sequence[Record]) -> list[str]:
    faults, seen, last = [], dict[int, Record](), 0
    for record in records:
        delivered = decode(record)
        seq = delivered.relay_seq
        if seq in seen:
            if _words(seen[seq]) != _words(record):
                faults.append(f"number {seq} was sent again with other words")
        elif seq <= last:
            faults.append(f"number {seq} came after {last}")
        elif delivered.prev_seq != last:
            faults.append(f"number {seq} follows {delivered.prev_seq}, before it came {last}")
        seen.setdefault(seq, record)
        last = max(last, seq)
    return faults + _disorder(seen)


def _disorder(seen: dict[int, Record]) -> list[str]:
    versions: dict[tuple[str, str], int] = {}
    faults = []
    for seq in sorted(seen):
        event = decode(seen[seq]).recorded
        if event.version is None:
            continue
        key = (event.metadata.tenant, event.stream)
        if event.version != versions.get(key, 0) + 1:
            faults.append(f"{event.stream} came to version {event.version} at number {seq}")
        versions[key] = event.version
    return faults


def _words(record: Record) -> tuple[object, ...]:
    return record.key, record.value, tuple(record.headers)
