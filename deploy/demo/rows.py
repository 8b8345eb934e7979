"""Rows of the dashboard's log beside the events they came from, word for word."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from deploy.demo.mischief import Event
from deploy.demo.truth import SKEW, Told, is_fit, moment

TEXTS: Final = ("type", "operator", "client", "city", "box", "code", "details", "source")
Content: TypeAlias = tuple[object, ...]


def differences(told: Sequence[Told], shown: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many rows are missing, foreign, repeated or changed; what there are none of is left out.

    `told` are the events of the question that was answered by `shown`, fit ones and others.
    """
    sent = {each.event["uuid"].lower(): each for each in told if is_fit(each.event)}
    counts = Counter(row["uuid"] for row in shown)
    found = {
        "missing": len(sent.keys() - counts.keys()),
        "foreign": len(counts.keys() - sent.keys()),
        "repeated": sum(counts.values()) - len(counts),
        "changed": sum(1 for row in shown if _changed(sent.get(row["uuid"]), row)),
    }
    return {name: count for name, count in found.items() if count}


def _changed(told: Told | None, row: Mapping[str, Any]) -> bool:
    if told is None:
        return False
    # A clock that ran ahead counts as the time of arrival, which only the server knows.
    timely = moment(told.event) <= told.sent_at + SKEW
    return _content(told.event) != _content(row) or (timely and told.event["ts"] != row["tsMs"])


def _content(event: Event | Mapping[str, Any]) -> Content:
    return tuple(event[name] or "" for name in TEXTS)
