"""Timestamps in the form of the crm's and the kiosks' clients."""

from datetime import UTC, datetime


def timestamp(moment: datetime | None) -> str | None:
    """The time in UTC with microseconds and `Z`; None stays None."""
    if moment is None:
        return None
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    return f"{text}Z"
