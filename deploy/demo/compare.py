"""Comparing what was sent with what the dashboards display, line by line."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deploy.demo import rows, sums, truth
from deploy.demo.ledger import Ledger
from deploy.demo.sums import Ask, Scope, Sums
from deploy.demo.truth import Acknowledged, Box, Row, ScanFilter, State


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One comparison. `sent` and `displayed` are compared as they are, and printed as text."""

    what: str
    sent: object
    displayed: object

    @property
    def agrees(self) -> bool:
        """Exactly."""
        return self.sent == self.displayed


async def lines(ask: Ask, ledger: Ledger, scope: Scope, before: Sums) -> list[Line]:
    """All comparisons of a day whose events were all acknowledged.

    `before` is the result of `sums.displayed` before the day.
    """
    acknowledged = ledger.acknowledged()
    accepted = truth.rows(acknowledged)
    found = sum_lines(acknowledged, sums.growth(before, await sums.displayed(ask, scope)), scope)
    found += await _everybody(ask, acknowledged, accepted, scope)
    found += await _each_operator(ask, acknowledged, accepted, scope)
    found += await _each_filter(ask, accepted, scope)
    uuids = sorted(
        {each.event["uuid"] for each in acknowledged if truth.is_uuid(each.event["uuid"])}
    )
    present = await ask.present(uuids)
    return [
        *found,
        Line(what="verify: ids in safe keeping", sent=len(uuids), displayed=present),
        *answer_lines(ledger),
    ]


def sum_lines(acknowledged: Sequence[Acknowledged], grown: Sums, scope: Scope) -> list[Line]:
    """The sums over everybody. If midnight fell between the sending and the acknowledgement of a
    scan from a clock that was ahead, only the server knows its day: then days are left out."""
    unclear = any(len(row.days) > 1 for row in truth.rows(acknowledged))
    return [
        Line(what=name, sent=spelled(counts), displayed=spelled(grown[name]))
        for name, counts in sums.sent(acknowledged, scope).items()
        if not (unclear and name.startswith("day "))
    ]


def answer_lines(ledger: Ledger) -> list[Line]:
    """Whether the responses to devices were correct."""
    return [
        Line(what="answers: wrong counts", sent=0, displayed=len(ledger.wrong)),
        Line(what="answers: events called new twice", sent=0, displayed=ledger.often_new()),
        Line(what="answers: events never called new", sent=0, displayed=ledger.never_new()),
    ]


async def _everybody(
    ask: Ask, acknowledged: Sequence[Acknowledged], accepted: Sequence[Row], scope: Scope
) -> list[Line]:
    """Our people and our clients in the view without filters, and where each was last."""
    sent, displayed = truth.state(accepted, scope.whole()), await ask.state(scope.whole())
    lasts = await ask.lasts(scope.whole())
    found = []
    for name in sorted(sent.operators):
        numbers, others = sent.operators[name], displayed.operators.get(name)
        found.append(Line(what=f"{name}: items, errors", sent=numbers, displayed=others))
    for name, last in sorted(truth.last_seen(acknowledged).items()):
        found.append(Line(what=f"{name}: was last at", sent=last, displayed=lasts.get(name)))
    for name in sent.clients_list:
        what = f"{name}: items, opens, closes, errors"
        found.append(
            Line(what=what, sent=sent.clients[name], displayed=displayed.clients.get(name))
        )
    lists = (sent.operators_list, sent.clients_list, sent.cities_list)
    known = (displayed.operators_list, displayed.clients_list, displayed.cities_list)
    listed = [
        f"{len(set(own) & set(all_))} of {len(own)}" for own, all_ in zip(lists, known, strict=True)
    ]
    complete = [f"{len(own)} of {len(own)}" for own in lists]
    what = "lists of operators, clients, cities"
    return [*found, Line(what=what, sent=", ".join(complete), displayed=", ".join(listed))]


async def _each_operator(
    ask: Ask, acknowledged: Sequence[Acknowledged], accepted: Sequence[Row], scope: Scope
) -> list[Line]:
    """The comparisons of one operator: counts, rows and boxes."""
    found, boxes = [], truth.boxes(acknowledged)
    for name in sorted({row.operator for row in accepted}):
        question = scope.whole(operator=name)
        found.append(_state_line(name, accepted, question, await ask.state(question)))
        own = [each for each in acknowledged if each.event["operator"] == name]
        displayed = await ask.rows(question)
        count = sum(1 for row in accepted if row.operator == name)
        wrong = spelled(rows.differences(own, displayed))
        found.append(
            Line(
                what=f"{name}: rows word for word",
                sent=f"{count}",
                displayed=f"{len(displayed)}" + (f" ({wrong})" if wrong else ""),
            )
        )
        if left := boxes.get(name):
            found.append(_box_line(name, left, await ask.boxes(question)))
    return found


def _box_line(name: str, left: Mapping[Box, str], displayed: Mapping[Box, str]) -> Line:
    """Boxes as their device left them; printed are the counts, and how many are otherwise."""
    wrong = sum(1 for box, status in left.items() if displayed.get(box) != status)
    counts = spelled({status: list(left.values()).count(status) for status in ("closed", "open")})
    return Line(
        what=f"{name}: boxes as the device left them",
        sent=counts,
        displayed=f"{wrong} otherwise" if wrong else counts,
    )


async def _each_filter(ask: Ask, accepted: Sequence[Row], scope: Scope) -> list[Line]:
    found = []
    for name in sorted({row.client for row in accepted if row.client}):
        question = scope.whole(client=name)
        found.append(_state_line(name, accepted, question, await ask.state(question)))
    together = Counter((row.operator, row.client, row.city) for row in accepted if row.client)
    for (operator, client, city), _ in together.most_common(2):
        question = scope.whole(operator=operator, client=client, city=city)
        what = f"{operator}, {client}, {city}"
        found.append(_state_line(what, accepted, question, await ask.state(question)))
    return found


def _state_line(what: str, accepted: Sequence[Row], question: ScanFilter, displayed: State) -> Line:
    """All numbers and lists of a filtered view; printed are the sums, and what else differs."""
    sent = truth.state(accepted, question)
    different = ", ".join(_different(sent, displayed))
    return Line(
        what=f"filter {what}",
        sent=spelled(sent.summary),
        displayed=spelled(displayed.summary) + (f" (other {different})" if different else ""),
    )


def _different(sent: State, displayed: State) -> Iterable[str]:
    if sent.operators != displayed.operators:
        yield "operators"
    if sent.clients != displayed.clients:
        yield "clients"
    if sent.operators_list != displayed.operators_list:
        yield "operatorsList"
    if sent.clients_list != displayed.clients_list:
        yield "clientsList"
    if sent.cities_list != displayed.cities_list:
        yield "citiesList"


def spelled(counts: Mapping[str, int]) -> str:
    """`items 3, opens 2`."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())
