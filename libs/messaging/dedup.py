"""Deduplicate the records of one partition by their sequence numbers, and find gaps; pure.

Kafka may deliver a record twice, a relay may send a page twice, a consumer may be positioned
wrongly, a topic may lose records. Every log numbers its records (`relay_seq`), and every record
has the number of the previous one in its partition (`prev_seq`, 0 for the first), so that a reader
can tell these cases apart. A log has an id, and an incarnation that changes when it is restored or
failed over: then numbers may be used again, and only a person can say what is missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal, TypeAlias

from libs.messaging.wire import Record

TopicPartition: TypeAlias = tuple[str, int]

MAX_NUMBER: Final = 2**63 - 1
MAX_LABEL: Final = 200


@dataclass(frozen=True, slots=True)
class Link:
    """The sequence numbers of a record, and its log."""

    log_id: str
    incarnation: str
    relay_seq: int
    prev_seq: int


@dataclass(frozen=True, slots=True)
class Chain:
    """How far one incarnation of one log has been read in one partition.

    Events recorded before `floor` are not accepted: the inbox no longer knows which of them it had.
    A `retired` incarnation was replaced by another one; an `awaited` incarnation was accepted by a
    person and has not begun in this partition.
    """

    log_id: str
    incarnation: str
    relay_seq: int
    floor: datetime | None = None
    retired: bool = False
    awaited: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """The next offset to read in a partition, the offset at which reading began, and its chains."""

    next_offset: int
    began_at: int = 0
    chains: tuple[Chain, ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """A record at `offset` that cannot follow the last record read.

    `last` is the number of the last record, None if there was none. A person may accept the gap as
    missing, by its offsets and numbers.
    """

    kind: Literal["missing", "incarnation"]
    last: int | None
    link: Link
    offset: int
    next_offset: int

    @property
    def numbers(self) -> tuple[int, int]:
        """The first and the last missing number. If another incarnation begins: the last number of
        the old incarnation and the first of the new one."""
        if self.kind == "incarnation":
            return self.last or 0, self.link.relay_seq
        return (self.last or 0) + 1, self.link.prev_seq

    @property
    def message(self) -> str:
        """The gap as one sentence."""
        at, link = f"at offset {self.offset}", self.link
        if self.kind == "incarnation":
            return f"{at} begins incarnation {link.incarnation} of log {link.log_id}"
        if self.last is None:
            return f"{at} the first record of a log follows number {link.prev_seq}"
        return f"after number {self.last} came {link.relay_seq} {at}, which follows {link.prev_seq}"


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A new record. `link` is None if it has no numbers: then it is not an event of ours."""

    record: Record
    link: Link | None
    floor: datetime | None = None


@dataclass(slots=True)
class Deduplicated:
    """The new records up to the first gap, and the position after them."""

    position: Position
    records: list[NewRecord] = field(default_factory=list)
    repeated: int = 0
    gap: Gap | None = None


def deduplicate(records: Sequence[Record], position: Position) -> Deduplicated:
    """Sort out the records of one partition, in order of offsets, read from `position` on."""
    reader = _Reader(position)
    result = Deduplicated(position)
    for record in records:
        step = reader.read(record)
        if isinstance(step, Gap):
            result.gap = step
            break
        if step is None:
            result.repeated += 1
        else:
            result.records.append(step)
    result.position = reader.position
    return result


def link_of(record: Record) -> Link | None:
    """The log and the sequence numbers of a record, whatever else is in it; None if it has none."""
    try:
        headers = dict(record.headers)
        return Link(
            _label(headers["log_id"]),
            _label(headers["incarnation"]),
            _number(headers["relay_seq"]),
            _number(headers["prev_seq"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


class _Reader:
    """Reads one partition record by record."""

    def __init__(self, position: Position) -> None:
        self.position = position

    def read(self, record: Record) -> NewRecord | Gap | None:
        """The record if it is new, a gap if one lies before it, None if it was read before."""
        link, fresh = link_of(record), record.offset >= self.position.next_offset
        if link is None:
            if fresh:
                self._move(record.offset)
            return NewRecord(record, None) if fresh else None
        chain = self._chain_of(link)
        if chain is None:
            return self._begin(record, link)
        if chain.incarnation != link.incarnation or (chain.retired and fresh):
            return self._gap("incarnation", chain.relay_seq, record, link)
        if chain.retired:
            return None
        return self._continue(chain, record, link)

    def _chain_of(self, link: Link) -> Chain | None:
        """The chain of the record's incarnation, or else the live chain of its log."""
        of_log = [one for one in self.position.chains if one.log_id == link.log_id]
        exact = next((one for one in of_log if one.incarnation == link.incarnation), None)
        live = next((one for one in of_log if not (one.retired or one.awaited)), None)
        return exact or live

    def _begin(self, record: Record, link: Link) -> NewRecord | Gap | None:
        """Begin a chain, with the first record of a log or in the middle where reading began."""
        position = self.position
        if record.offset < position.began_at:
            return None
        in_the_middle = position.began_at > 0 and record.offset <= position.next_offset
        if link.prev_seq and not in_the_middle:
            return self._gap("missing", None, record, link)
        chain = Chain(link.log_id, link.incarnation, link.relay_seq)
        self.position = replace(position, chains=(*position.chains, chain))
        self._move(record.offset)
        return NewRecord(record, link)

    def _continue(self, chain: Chain, record: Record, link: Link) -> NewRecord | Gap | None:
        if link.relay_seq <= chain.relay_seq:
            if record.offset >= self.position.next_offset:
                self._move(record.offset)
            return None
        if link.prev_seq != chain.relay_seq:
            return self._gap("missing", chain.relay_seq, record, link)
        # A topic that lost its tail continues at a lower offset: numbers decide, not offsets.
        begun = self._set(chain, replace(chain, relay_seq=link.relay_seq, awaited=False))
        if chain.awaited:
            self._retire_others(begun)
        self._move(record.offset)
        return NewRecord(record, link, chain.floor)

    def _gap(
        self, kind: Literal["missing", "incarnation"], last: int | None, record: Record, link: Link
    ) -> Gap:
        return Gap(kind, last, link, record.offset, self.position.next_offset)

    def _set(self, old: Chain, new: Chain) -> Chain:
        chains = tuple(new if one is old else one for one in self.position.chains)
        self.position = replace(self.position, chains=chains)
        return new

    def _retire_others(self, begun: Chain) -> None:
        chains = tuple(
            replace(one, retired=True) if one.log_id == begun.log_id and one is not begun else one
            for one in self.position.chains
        )
        self.position = replace(self.position, chains=chains)

    def _move(self, offset: int) -> None:
        self.position = replace(self.position, next_offset=offset + 1)


def _number(value: bytes | None) -> int:
    number = int(value or b"")
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError("no sequence number")
    return number


def _label(value: bytes | None) -> str:
    text = (value or b"").decode("ascii")
    if not 0 < len(text) <= MAX_LABEL or not text.isprintable():
        raise ValueError("no label")
    return text
