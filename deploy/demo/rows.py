"""Comparing the rows of the dashboard's log with the events they came from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from deploy.demo.mischief import Event
from deploy.demo.truth import SKEW, Acknowledged, is_fit, moment

TEXTS: Final = ("type", "operator", "client", "city", "box", "code", "details", "source")
Content: TypeAlias = tuple[object, ...]


def differences(
    acknowledged: Sequence[Acknowledged], displayed: Sequence[Mapping[str, Any]]
) -> dict[str, int]:
    """How many rows are missing, foreign, repeated or changed; what there are none of is left out.

    `acknowledged` are the events, valid ones and others, of the filter that `displayed` is for.
    """
    sent = {one.event["uuid"].lower(): one for one in acknowledged if is_fit(one.event)}
    counts = Counter(row["uuid"] for row in displayed)
    found = {
        "missing": len(sent.keys() - counts.keys()),
        "foreign": len(counts.keys() - sent.keys()),
        "repeated": sum(counts.values()) - len(counts),
        "changed": sum(1 for row in displayed if _changed(sent.get(row["uuid"]), row)),
    }
    return {name: count for name, count in found.items() if count}


def _changed(acknowledged: Acknowledged | None, row: Mapping[str, Any]) -> bool:
    if acknowledged is None:
        return False
    # A clock that ran ahead counts as the time of arrival, which only the server knows.
    timely = moment(acknowledged.event) <= acknowledged.sent_at + SKEW
    return _content(acknowledged.event) != _content(row) or (
        timely and acknowledged.event["ts"] != row["tsMs"]
    )


def _content(event: Event | Mapping[str, Any]) -> Content:
    return tuple(event[name] or "" for name in TEXTS)
