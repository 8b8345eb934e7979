"""Writing facts alone, which is what nearly every group is made of, at a third of the price.

The rows of a group travel as a few long texts, because a client takes much longer to encode an
array, and what the facts of an append share travels once. If all of them were new, as they nearly
always are, there is nothing to tell apart and no id is looked up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

from libs.eventsourcing import statements
from libs.eventsourcing.log import FactsAppended, NewFact
from libs.eventsourcing.plan import AppendFacts, LogPosition
from libs.eventsourcing.rows import metadata_json
from libs.eventsourcing.tokens import token_of

_id_of: Final = itemgetter(0)

Entry = tuple[str, int, NewFact]
"""A fact with its id as hex digits, and the number of its request."""


class Inseparable(Exception):
    """A text holds the sign that separates texts, or is empty: the rows cannot travel so."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the entries, which are in the order of their ids.

    `inserted` is None if all of them were new; then `positions` are theirs, in order.
    """

    entries: Sequence[Entry]
    xid: int
    positions: Sequence[int]
    inserted: Mapping[UUID, LogPosition] | None

    def answers(self, requests: Sequence[AppendFacts]) -> list[FactsAppended]:
        """The results, if all were new."""
        last = [0] * len(requests)
        for (_, number, _), position in zip(self.entries, self.positions, strict=True):
            # They rise.
            last[number] = position
        return [
            FactsAppended(
                frozenset([fact.event_id for fact in request.facts]),
                token_of([(self.xid, position)], later=self.xid) if position else "",
            )
            for request, position in zip(requests, last, strict=True)
        ]


async def insert_facts(connection: Any, requests: Sequence[AppendFacts]) -> Written:
    """Insert the facts that are new. Raises Inseparable, and then nothing was written."""
    entries = [
        (f"{fact.event_id.int:032x}", number, fact)
        for number, request in enumerate(requests)
        for fact in request.facts
    ]
    if not entries:
        return Written((), 0, (), None)
    # In the order of `plan.Row.sort_key`.
    entries.sort(key=_id_of)
    row = await connection.fetchrow(statements.FACTS, *_arguments(requests, entries))
    xid, positions, event_ids = row
    if event_ids is None and positions is not None:
        return Written(entries, xid, positions, None)
    inserted = zip(event_ids or (), positions or (), strict=True)
    return Written(
        entries, xid or 0, (), {event_id: (xid, position) for event_id, position in inserted}
    )


def _arguments(requests: Sequence[AppendFacts], entries: Sequence[Entry]) -> tuple[Any, ...]:
    facts = [fact for _, _, fact in entries]
    all_metadata = [request.metadata for request in requests]
    tenants = [metadata.tenant for metadata in all_metadata]
    texts = b",".join(map(metadata_json, all_metadata))
    data = statements.SEPARATOR.encode().join([fact.data for fact in facts]).decode()
    return (
        statements.SEPARATOR.join([digits for digits, _, _ in entries]),
        _joined([tenants[number] for _, number, _ in entries]),
        _joined([fact.stream for fact in facts]),
        _joined([fact.type for fact in facts]),
        _joined([str(fact.schema_version) for fact in facts]),
        _separable(data, len(facts)),
        _joined([str(number) for _, number, _ in entries]),
        [fact.occurred_at for fact in facts],
        f"[{texts.decode()}]",
        len(facts),
    )


def _joined(texts: Sequence[str]) -> str:
    return _separable(statements.SEPARATOR.join(texts), len(texts))


def _separable(joined: str, count: int) -> str:
    # A text of no length is no array of one.
    if not joined or joined.count(statements.SEPARATOR) != count - 1:
        raise Inseparable
    return joined
