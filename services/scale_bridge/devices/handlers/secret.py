"""Sealing scales' passwords anew, after another key was put in front (R17)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from contracts.scale_bridge import DeviceId
from libs.errors import NotFound
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from libs.security.sealing import Seal, SealBroken
from services.scale_bridge.context import Context
from services.scale_bridge.devices.domain.device import DEVICE, Change
from services.scale_bridge.devices.handlers import device


@dataclass(kw_only=True, slots=True)
class Rotated:
    """How many passwords were sealed anew or were already, and whose cannot be read."""

    sealed: int = 0
    fresh: int = 0
    lost: list[DeviceId]


async def rotate(
    context: Context, newest: Seal, devices: Sequence[tuple[str, UUID]], *, actor: str
) -> Rotated:
    """Have every password sealed with the newest key, which `newest` knows alone. Safe to repeat.

    Raises Unavailable, LogUnavailable, VersionConflict if a device changes meanwhile.
    """
    rotated = Rotated(lost=[])
    for tenant, device_id in devices:
        try:
            await _one(
                context, newest, DeviceId(device_id), Metadata(tenant=tenant, actor=actor), rotated
            )
        except NotFound:
            continue
        except SealBroken:
            rotated.lost.append(DeviceId(device_id))
    return rotated


async def _one(
    context: Context, newest: Seal, device_id: DeviceId, metadata: Metadata, rotated: Rotated
) -> None:
    found = await device.load(context, metadata.tenant, device_id)
    sealed, purpose = found.details.password, str(device_id)
    if _opens(newest, sealed, purpose):
        rotated.fresh += 1
        return
    password = context.seal.open(sealed, purpose)
    after = replace(found.details, password=context.seal.seal(password, purpose))
    command = Change(device_id=device_id, details=after, now=context.clock())
    await execute(
        context.store, DEVICE, device_id, command, metadata=metadata, expected=found.version
    )
    rotated.sealed += 1


def _opens(seal: Seal, sealed: str, purpose: str) -> bool:
    try:
        seal.open(sealed, purpose)
    except SealBroken:
        return False
    return True
