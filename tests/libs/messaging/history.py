"""Check acknowledgements of clients against log, topic and read model.

Every event has a unique value. The checker needs no clock: it reports what no order of events can
explain.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from libs.eventsourcing.log import RecordedEvent
from libs.messaging.wire import Record, decode
from tests.libs.messaging.chain import faults_of, numbers_of


@dataclass(frozen=True, slots=True)
class Ack:
    """An acknowledgement: these values are in this stream, the last of them at this version."""

    stream: str
    values: tuple[int, ...]
    version: int


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """All observations. `table` has each stream's values and versions in the read model."""

    acks: Sequence[Ack] = ()
    logged: Sequence[RecordedEvent] = ()
    topic: Sequence[Record] = ()
    table: Mapping[str, tuple[Sequence[int], Sequence[int]]] = field(default_factory=dict)

    def but(self, **changes: object) -> "History":
        """A changed copy."""
        return replace(self, **changes)  # type: ignore[arg-type]


def anomalies_of(history: History) -> list[str]:
    """The anomalies, each beginning with its kind."""
    found = [*_of_acks(history), *_of_log(history), *_of_topic(history), *_of_table(history)]
    return sorted(found)


def value_of(event: RecordedEvent) -> int:
    """The unique value of an event."""
    return int(msgspec.json.decode(event.data)["n"])


def _streams(events: Sequence[RecordedEvent]) -> dict[str, list[tuple[int, int]]]:
    """Values and versions of every stream, in the given order."""
    streams: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for event in events:
        streams[event.stream].append((value_of(event), event.version or 0))
    return streams


def _of_acks(history: History) -> Iterator[str]:
    where = {value_of(event): event for event in history.logged}
    for ack in history.acks:
        first = ack.version - len(ack.values) + 1
        for version, value in enumerate(ack.values, first):
            event = where.get(value)
            if event is None:
                yield f"lost: {value} was acknowledged and is not in the log"
            elif (event.stream, event.version) != (ack.stream, version):
                yield f"misplaced: {value} is {event.stream} {event.version}, not as acknowledged"


def _of_log(history: History) -> Iterator[str]:
    for value, times in Counter(map(value_of, history.logged)).items():
        if times > 1:
            yield f"doubled: {value} is in the log {times} times"
    for stream, events in _streams(history.logged).items():
        if [version for _, version in events] != list(range(1, len(events) + 1)):
            yield f"versions: {stream} is not numbered without holes, in the order of positions"


def _of_topic(history: History) -> Iterator[str]:
    sent: dict[int, RecordedEvent] = {}
    for record in history.topic:
        delivered = decode(record)
        sent.setdefault(delivered.relay_seq, delivered.recorded)
    yield from (f"chain: {fault}" for fault in faults_of(history.topic))
    if numbers_of(history.topic) != list(range(1, len(sent) + 1)):
        yield "chain: the numbers of the service have holes"
    times = Counter(map(value_of, sent.values()))
    yield from (f"doubled: {value} has two numbers" for value, n in times.items() if n > 1)
    for event in history.logged:
        if value_of(event) not in times:
            yield f"unseen: {value_of(event)} is in the log and not in the topic"
    known = {value_of(event) for event in history.logged}
    yield from (f"phantom: {value} is in the topic alone" for value in set(times) - known)
    in_topic = _streams([sent[seq] for seq in sorted(sent)])
    for stream, events in _streams(history.logged).items():
        came = in_topic.get(stream, [])
        if came != events and sorted(came) == sorted(events):
            yield f"order: {stream} is in another order in the topic than in the log"


def _of_table(history: History) -> Iterator[str]:
    logged = _streams(history.logged)
    for stream in sorted(logged.keys() | history.table.keys()):
        values, versions = history.table.get(stream, ((), ()))
        expected = [value for value, _ in logged.get(stream, [])]
        times = Counter(values)
        yield from (f"doubled: {v} counted {n} times" for v, n in times.items() if n > 1)
        yield from (f"unseen: {v} is not in the table" for v in expected if not times[v])
        yield from (f"phantom: {v} is in the table alone" for v in set(times) - set(expected))
        if Counter(expected) == times and list(values) != expected:
            yield f"order: {stream} is in another order in the table than in the log"
        if list(versions) != sorted(versions):
            yield f"versions: {stream} was applied out of order"
