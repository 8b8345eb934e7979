"""Key rotation: the passwords of scales sealed with the newest key (R17)."""

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
    """The numbers of passwords sealed anew and sealed before, and the unreadable ones."""

    sealed: int = 0
    current: int = 0
    unreadable: list[DeviceId]


async def rotate(
    context: Context, newest: Seal, devices: Sequence[tuple[str, UUID]], *, actor: str
) -> Rotated:
    """Seal every password with the newest key, the only key of `newest`. Safe to repeat.

    Raises Unavailable, LogUnavailable, VersionConflict if a device changes meanwhile.
    """
    rotated = Rotated(unreadable=[])
    for tenant, device_id in devices:
        try:
            await _rotate(
                context, newest, DeviceId(device_id), Metadata(tenant=tenant, actor=actor), rotated
            )
        except NotFound:
            continue
        except SealBroken:
            rotated.unreadable.append(DeviceId(device_id))
    return rotated


async def _rotate(
    context: Context, newest: Seal, device_id: DeviceId, metadata: Metadata, rotated: Rotated
) -> None:
    loaded = await device.load(context, metadata.tenant, device_id)
    sealed, purpose = loaded.details.password, str(device_id)
    if _opens(newest, sealed, purpose):
        rotated.current += 1
        return
    password = context.settings.seal().open(sealed, purpose)
    after = replace(loaded.details, password=context.settings.seal().seal(password, purpose))
    command = Change(device_id=device_id, details=after, now=context.clock())
    await execute(
        context.store, DEVICE, device_id, command, metadata=metadata, expected=loaded.version
    )
    rotated.sealed += 1


def _opens(seal: Seal, sealed: str, purpose: str) -> bool:
    try:
        seal.open(sealed, purpose)
    except SealBroken:
        return False
    return True
