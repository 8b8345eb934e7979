"""Which records of one partition are new, decided by the chain of numbers on the wire; pure.

Kafka may deliver a record twice, a relay may send a page twice, a consumer may be positioned
wrongly, a topic may lose records. Every log numbers its records (`relay_seq`) and names the number
before in the same partition (`prev_seq`, 0 for the first), so that a reader can tell all of these
apart. A log has an id, and an incarnation that changes when it is restored or failed over: then
numbers may be used again, and only a person can say what is missing.
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
    """A record's place in its log's chain; without labels, of a relay that did not write them."""

    log_id: str
    incarnation: str
    relay_seq: int
    prev_seq: int

    @property
    def labelled(self) -> bool:
        """Whether the record names its log."""
        return bool(self.log_id)


@dataclass(frozen=True, slots=True)
class Chain:
    """How far one incarnation of one log has been read in one partition.

    An `unlabelled` chain began with records that name no log; the first labelled record that
    continues it gives it its name. Events recorded before `floor` are not taken in: the inbox has
    forgotten which of them it had. A `retired` incarnation was replaced by another one; an
    `awaited` one was accepted by a person and has not begun here.
    """

    log_id: str
    incarnation: str
    relay_seq: int
    unlabelled: bool = False
    floor: datetime | None = None
    retired: bool = False
    awaited: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """The next offset to read in one partition, where reading began, and the chains known there."""

    next_offset: int
    began_at: int = 0
    chains: tuple[Chain, ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """The record that cannot follow what was read before it, found at `offset`.

    `last` is the number read before it, None if none was. Offsets and numbers are what a person
    accepts as missing.
    """

    kind: Literal["missing", "incarnation"]
    last: int | None
    link: Link
    offset: int
    next_offset: int

    @property
    def numbers(self) -> tuple[int, int]:
        """The first and the last number that are missing; at another incarnation the last one that
        was read before it and the first of its own."""
        if self.kind == "incarnation":
            return self.last or 0, self.link.relay_seq
        return (self.last or 0) + 1, self.link.prev_seq

    @property
    def message(self) -> str:
        """What is wrong, in one sentence."""
        at, link = f"at offset {self.offset}", self.link
        if self.kind == "incarnation":
            return f"{at} begins incarnation {link.incarnation} of log {link.log_id}"
        if self.last is None:
            return f"{at} the first record of a log follows number {link.prev_seq}"
        return f"after number {self.last} came {link.relay_seq} {at}, which follows {link.prev_seq}"


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to take in. `link` is None if it carries no numbers: then it is no event of ours."""

    record: Record
    link: Link | None
    floor: datetime | None = None


@dataclass(slots=True)
class Deduplicated:
    """The new records up to the first gap, and the position behind them."""

    position: Position
    records: list[NewRecord] = field(default_factory=list)
    repeated: int = 0
    gap: Gap | None = None


def deduplicate(records: Sequence[Record], position: Position) -> Deduplicated:
    """Follow one partition's records, in order of offsets, from `position` on."""
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
    """The numbers of a record, read apart from everything else it says; None if it has none."""
    try:
        headers = dict(record.headers)
        numbers = [_number(headers[name]) for name in ("relay_seq", "prev_seq")]
        labels = [_label(headers.get(name)) for name in ("log_id", "incarnation")]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    log_id, incarnation = labels if all(labels) else ("", "")
    return Link(log_id, incarnation, *numbers)


class _Reader:
    """Moves through one partition, record by record."""

    def __init__(self, position: Position) -> None:
        self.position = position

    def read(self, record: Record) -> NewRecord | Gap | None:
        """The record if it is new, the gap before it, or None if it was read before."""
        link, fresh = link_of(record), record.offset >= self.position.next_offset
        if link is None:
            if fresh:
                self._move(record.offset)
            return NewRecord(record, None) if fresh else None
        chain = self._chain_of(link)
        if chain is None:
            return self._begin(record, link)
        if (chain.log_id, chain.incarnation) != _labels(link, chain) or (chain.retired and fresh):
            return self._gap("incarnation", chain.relay_seq, record, link)
        if chain.retired:
            return None
        return self._continue(chain, record, link)

    def _chain_of(self, link: Link) -> Chain | None:
        """The chain the record claims to be of: its own, else the live one of the same log."""
        chains = self.position.chains
        if not link.labelled:
            return next((one for one in chains if one.unlabelled), None)
        ours = [one for one in chains if one.log_id == link.log_id]
        exact = next((one for one in ours if one.incarnation == link.incarnation), None)
        live = next((one for one in ours if not (one.retired or one.awaited)), None)
        return exact or live or self._adopted(link)

    def _adopted(self, link: Link) -> Chain | None:
        """The chain without a name, if a labelled record belongs to it."""
        for chain in self.position.chains:
            repeats = link.prev_seq > 0 and link.relay_seq <= chain.relay_seq
            if not chain.log_id and (repeats or link.prev_seq == chain.relay_seq):
                return self._set(
                    chain, replace(chain, log_id=link.log_id, incarnation=link.incarnation)
                )
        return None

    def _begin(self, record: Record, link: Link) -> NewRecord | Gap | None:
        """The first record of a log: the first it ever wrote here, or where reading began."""
        position = self.position
        if record.offset < position.began_at:
            return None
        in_the_middle = position.began_at > 0 and record.offset <= position.next_offset
        if link.prev_seq and not in_the_middle:
            unnamed = next((one for one in position.chains if not one.log_id), None)
            last = unnamed.relay_seq if unnamed and link.labelled else None
            return self._gap("missing", last, record, link)
        chain = Chain(link.log_id, link.incarnation, link.relay_seq, unlabelled=not link.labelled)
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
        # A topic that lost its tail goes on at a lower offset: the chain counts, not the offset.
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


def _labels(link: Link, chain: Chain) -> tuple[str, str]:
    """The labels the chain must have; a record without labels belongs to the chain it began."""
    if link.labelled:
        return link.log_id, link.incarnation
    return chain.log_id, chain.incarnation


def _number(value: bytes | None) -> int:
    number = int(value or b"")
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError("no number of a relay")
    return number


def _label(value: bytes | None) -> str:
    text = (value or b"").decode("ascii")
    if len(text) > MAX_LABEL or not text.isprintable():
        raise ValueError("no label")
    return text
