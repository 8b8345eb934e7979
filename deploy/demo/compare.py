"""What was sent beside what the dashboards say, line by line; every line must agree exactly."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deploy.demo import rows, sums, truth
from deploy.demo.ledger import Ledger
from deploy.demo.sums import Ask, Scope, Sums
from deploy.demo.truth import Box, Question, Row, State, Told


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One comparison. `sent` and `shown` are compared as they are, and printed as text."""

    what: str
    sent: object
    shown: object

    @property
    def agrees(self) -> bool:
        """Exactly."""
        return self.sent == self.shown


async def lines(ask: Ask, ledger: Ledger, scope: Scope, before: Sums) -> list[Line]:
    """Every comparison of a day whose events were all acknowledged; `before` is what `sums.shown`
    said before it began."""
    told = ledger.told()
    accepted = truth.rows(told)
    found = sum_lines(told, sums.growth(before, await sums.shown(ask, scope)), scope)
    found += await _everybody(ask, told, accepted, scope)
    found += await _each_operator(ask, told, accepted, scope)
    found += await _each_filter(ask, accepted, scope)
    uuids = sorted({each.event["uuid"] for each in told if truth.is_uuid(each.event["uuid"])})
    present = await ask.present(uuids)
    return [
        *found,
        Line(what="verify: ids in safe keeping", sent=len(uuids), shown=present),
        *answer_lines(ledger),
    ]


def sum_lines(told: Sequence[Told], grown: Sums, scope: Scope) -> list[Line]:
    """The sums over everybody. If midnight fell between the sending and the acknowledgement of a
    scan from a clock that was ahead, only the server knows its day: then days are left out."""
    unclear = any(len(row.days) > 1 for row in truth.rows(told))
    return [
        Line(what=name, sent=spelled(counts), shown=spelled(grown[name]))
        for name, counts in sums.sent(told, scope).items()
        if not (unclear and name.startswith("day "))
    ]


def answer_lines(ledger: Ledger) -> list[Line]:
    """Whether what the devices were answered was true."""
    return [
        Line(what="answers: wrong counts", sent=0, shown=len(ledger.wrong)),
        Line(what="answers: events called new twice", sent=0, shown=ledger.often_new()),
        Line(what="answers: events never called new", sent=0, shown=ledger.never_new()),
    ]


async def _everybody(
    ask: Ask, told: Sequence[Told], accepted: Sequence[Row], scope: Scope
) -> list[Line]:
    """Our people and our clients in the view without filters, and where each was last."""
    sent, shown = truth.state(accepted, scope.whole()), await ask.state(scope.whole())
    lasts = await ask.lasts(scope.whole())
    found = []
    for name in sorted(sent.operators):
        numbers, others = sent.operators[name], shown.operators.get(name)
        found.append(Line(what=f"{name}: items, errors", sent=numbers, shown=others))
    for name, last in sorted(truth.last_seen(told).items()):
        found.append(Line(what=f"{name}: was last at", sent=last, shown=lasts.get(name)))
    for name in sent.clients_list:
        what = f"{name}: items, opens, closes, errors"
        found.append(Line(what=what, sent=sent.clients[name], shown=shown.clients.get(name)))
    lists = (sent.operators_list, sent.clients_list, sent.cities_list)
    known = (shown.operators_list, shown.clients_list, shown.cities_list)
    listed = [
        f"{len(set(own) & set(all_))} of {len(own)}" for own, all_ in zip(lists, known, strict=True)
    ]
    complete = [f"{len(own)} of {len(own)}" for own in lists]
    what = "lists of operators, clients, cities"
    return [*found, Line(what=what, sent=", ".join(complete), shown=", ".join(listed))]


async def _each_operator(
    ask: Ask, told: Sequence[Told], accepted: Sequence[Row], scope: Scope
) -> list[Line]:
    """Everything that is said about one operator, each of their rows, and of their boxes."""
    found, boxes = [], truth.boxes(told)
    for name in sorted({row.operator for row in accepted}):
        question = scope.whole(operator=name)
        found.append(_state_line(name, accepted, question, await ask.state(question)))
        own = [each for each in told if each.event["operator"] == name]
        shown = await ask.rows(question)
        count = sum(1 for row in accepted if row.operator == name)
        wrong = spelled(rows.differences(own, shown))
        found.append(
            Line(
                what=f"{name}: rows word for word",
                sent=f"{count}",
                shown=f"{len(shown)}" + (f" ({wrong})" if wrong else ""),
            )
        )
        if left := boxes.get(name):
            found.append(_box_line(name, left, await ask.boxes(question)))
    return found


def _box_line(name: str, left: Mapping[Box, str], shown: Mapping[Box, str]) -> Line:
    """Boxes as their device left them; printed are the counts, and how many are otherwise."""
    wrong = sum(1 for box, status in left.items() if shown.get(box) != status)
    counts = spelled({status: list(left.values()).count(status) for status in ("closed", "open")})
    return Line(
        what=f"{name}: boxes as the device left them",
        sent=counts,
        shown=f"{wrong} otherwise" if wrong else counts,
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


def _state_line(what: str, accepted: Sequence[Row], question: Question, shown: State) -> Line:
    """All numbers and lists of a filtered view; printed are the sums, and what else differs."""
    sent = truth.state(accepted, question)
    different = ", ".join(_different(sent, shown))
    return Line(
        what=f"filter {what}",
        sent=spelled(sent.summary),
        shown=spelled(shown.summary) + (f" (other {different})" if different else ""),
    )


def _different(sent: State, shown: State) -> Iterable[str]:
    if sent.operators != shown.operators:
        yield "operators"
    if sent.clients != shown.clients:
        yield "clients"
    if sent.operators_list != shown.operators_list:
        yield "operatorsList"
    if sent.clients_list != shown.clients_list:
        yield "clientsList"
    if sent.cities_list != shown.cities_list:
        yield "citiesList"


def spelled(counts: Mapping[str, int]) -> str:
    """`items 3, opens 2`."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())
