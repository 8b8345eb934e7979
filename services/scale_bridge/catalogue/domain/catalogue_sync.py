"""Whether the cached catalogue is confirmed on the device (R8), and still its own (R9)."""

from typing import assert_never

from contracts.scale_bridge import (
    CatalogueConfirmed,
    CatalogueDoubted,
    CatalogueInvalidated,
    ScaleBridgeEvent,
)
from services.scale_bridge.catalogue.domain.catalogue import Catalogue
from services.scale_bridge.catalogue.domain.commands import Confirm, Doubt, Invalidate


def synchronize(copy: Catalogue, command: Invalidate | Confirm | Doubt) -> list[ScaleBridgeEvent]:
    """Nothing if it is known, or in doubt, or of another scale already."""
    match command:
        case Invalidate():
            return _invalidated(copy, command)
        case Confirm():
            return confirmed(copy, command)
        case Doubt():
            return _doubted(copy, command)
        case _:
            assert_never(command)


def confirmed(copy: Catalogue, command: Confirm) -> list[ScaleBridgeEvent]:
    """Nothing new if it is known, or if by now the copy is of another scale."""
    if not copy.valid or not copy.since <= command.revision <= copy.revision:
        return []
    if (copy.confirmed, copy.on_scale) == (command.revision, command.content):
        return []
    return [
        CatalogueConfirmed(
            device_id=command.device_id,
            revision=command.revision,
            content=command.content,
            operation_id=command.operation_id,
            confirmed_at=command.now,
        )
    ]


def _invalidated(copy: Catalogue, command: Invalidate) -> list[ScaleBridgeEvent]:
    if not copy.valid:
        return []
    return [
        CatalogueInvalidated(
            device_id=command.device_id,
            revision=copy.revision + 1,
            reason=command.reason,
            invalidated_at=command.now,
        )
    ]


def _doubted(copy: Catalogue, command: Doubt) -> list[ScaleBridgeEvent]:
    if not copy.valid or (copy.confirmed, copy.on_scale) == (0, command.content):
        return []
    return [
        CatalogueDoubted(
            device_id=command.device_id,
            revision=copy.revision,
            content=command.content,
            operation_id=command.operation_id,
            doubted_at=command.now,
        )
    ]
