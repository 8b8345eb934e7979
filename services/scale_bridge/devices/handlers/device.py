"""Commands on devices: register, change, remove.

Names are one owner's own (§1.3): a name is taken before the event that uses it, and a name whose
taker does not use it, because it died or has another by now, may be taken over.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from uuid import UUID, uuid5

from contracts.scale_bridge import DeviceId
from libs.errors import Refused, Unavailable, Unfit
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata, VersionConflict
from libs.http.auth import Principal
from libs.security.sealing import SealBroken
from services.scale_bridge.catalogue.domain.catalogue import Invalidate
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.catalogue.stores import catalogue_snapshots
from services.scale_bridge.context import Context
from services.scale_bridge.devices import stores as numbers
from services.scale_bridge.devices.domain.device import (
    DEVICE,
    TCP,
    Change,
    Details,
    Device,
    DeviceUnknown,
    Register,
    Remove,
    details_of,
    device_id_of,
    moves,
)
from services.scale_bridge.driver.adapters import names
from services.scale_bridge.driver.domain.fault import Unreachable
from services.scale_bridge.driver.domain.password import checked

ATTEMPTS: Final = 10
_PEOPLE: Final = UUID("2a0d8c3a-5b55-4d0e-a4a4-6b0f5b9a7d11")


class NameTaken(Refused):
    """Device with this name already exists"""


class NameConflict(NameTaken):
    """Device name conflict"""


class BridgeUnknown(Unfit):
    """There is no bridge of yours with this id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What is said of a device; None says nothing of it. `password` is in the clear.

    An empty `bridge` is none: the service itself reaches the device.
    """

    name: str | None = None
    description: str | None = None
    ip: str | None = None
    port: int | None = None
    password: str | None = None
    bridge: UUID | Literal[""] | None = None


@dataclass(frozen=True, slots=True)
class LoadedDevice:
    """A device as the log has it, and its stream's version."""

    device_id: DeviceId
    device: Device
    version: int

    @property
    def details(self) -> Details:
        """How it is. Raises DeviceUnknown."""
        return details_of(self.device)


@dataclass(frozen=True, slots=True)
class Saved:
    """A device after a command, and the token to read it back with, None if nothing changed."""

    found: LoadedDevice
    token: str | None


def owner_of(subject: str) -> UUID:
    """Whose devices a caller's are: the account, or what stands for one that is no UUID."""
    try:
        return UUID(subject)
    except ValueError:
        return uuid5(_PEOPLE, subject)


async def load(context: Context, tenant: str, device_id: DeviceId) -> LoadedDevice:
    """A device that is still known. Raises DeviceUnknown, LogUnavailable."""
    history = await context.store.read(tenant, DEVICE.stream(device_id))
    found = LoadedDevice(device_id, DEVICE.state_after(history.events), history.version)
    details_of(found.device)
    return found


async def own(context: Context, tenant: str, owner: UUID, number: int) -> LoadedDevice:
    """One's own device by its number; anybody else's is not there. Raises DeviceUnknown."""
    found = await load(context, tenant, device_id_of(number))
    if found.device.owner != owner:
        raise DeviceUnknown
    return found


async def of_caller(context: Context, caller: Principal, number: int) -> LoadedDevice:
    """The caller's device by its number. Raises DeviceUnknown."""
    return await own(context, caller.tenant, owner_of(caller.subject), number)


async def belongs(context: Context, tenant: str, device_id: DeviceId, owner: UUID) -> bool:
    """Whether a device belongs, or belonged, to an owner. Raises LogUnavailable."""
    history = await context.store.read(tenant, DEVICE.stream(device_id))
    return DEVICE.state_after(history.events).owner == owner


async def register(context: Context, owner: UUID, given: Given, metadata: Metadata) -> Saved:
    """Make a device known.

    Raises NameTaken, BadAddress, BadPassword, BridgeUnknown, Unavailable.
    """
    password = checked(given.password or "")
    await _allowed(context, given.ip or "", given.port or 0)
    await _reachable(context, metadata.tenant, owner, given.bridge or None)
    number = await numbers.next_number(context.pool)
    device_id = device_id_of(number)
    details = Details(
        name=given.name or "",
        description=given.description or "",
        ip=given.ip or "",
        port=given.port or 0,
        protocol=TCP,
        password=context.seal.seal(password, str(device_id)),
        bridge=given.bridge or None,
    )
    if not await _named(context, metadata.tenant, owner, details.name, device_id):
        raise NameTaken
    command = Register(
        device_id=device_id, number=number, owner=owner, details=details, now=context.clock()
    )
    done = await execute(context.store, DEVICE, device_id, command, metadata=metadata)
    device = DEVICE.state_after(done.events)
    return Saved(LoadedDevice(device_id, device, done.version), done.token)


async def change(context: Context, found: LoadedDevice, given: Given, metadata: Metadata) -> Saved:
    """Change what is given; at another address its catalogue is invalid (R9).

    Raises NameConflict, DeviceUnknown, BadAddress, BadPassword, BridgeUnknown, Unavailable.
    """
    for _ in range(ATTEMPTS):
        details = await _changed(context, metadata.tenant, found, given)
        try:
            return await _change(context, found, details, metadata)
        except VersionConflict:
            found = await load(context, metadata.tenant, found.device_id)
    raise Unavailable("device")


async def remove(context: Context, found: LoadedDevice, metadata: Metadata) -> str | None:
    """Forget a device; the token to read it back with. Safe to repeat."""
    command = Remove(device_id=found.device_id, now=context.clock())
    done = await execute(context.store, DEVICE, found.device_id, command, metadata=metadata)
    owner, name = found.device.owner, found.details.name
    if owner is not None:
        await numbers.give_back(context.pool, metadata.tenant, owner, name, found.device_id)
    await catalogue_snapshots.delete(context.pool, metadata.tenant, found.device_id)
    return done.token


async def _changed(context: Context, tenant: str, found: LoadedDevice, given: Given) -> Details:
    before = found.details
    said: dict[str, Any] = {
        name: value
        for name in ("name", "description", "ip", "port")
        if (value := getattr(given, name)) is not None
    }
    if given.bridge is not None:
        said["bridge"] = given.bridge or None
    if given.password is not None:
        said["password"] = _sealed(context, found, checked(given.password))
    after = replace(before, **said)
    if given.ip is not None or given.port is not None:
        await _allowed(context, after.ip, after.port)
    if after.bridge != before.bridge:
        await _reachable(context, tenant, found.device.owner, after.bridge)
    return after


def _sealed(context: Context, found: LoadedDevice, password: str) -> str:
    """The same sealed text for the same password, so that nothing changes."""
    purpose = str(found.device_id)
    try:
        if context.seal.open(found.details.password, purpose) == password:
            return found.details.password
    except SealBroken:
        # Whatever it was: now it can be opened again (R17).
        pass
    return context.seal.seal(password, purpose)


async def _change(
    context: Context, found: LoadedDevice, after: Details, metadata: Metadata
) -> Saved:
    before, owner = found.details, found.device.owner
    if owner is None:
        raise DeviceUnknown
    tenant, device_id = metadata.tenant, found.device_id
    renamed = before.name != after.name
    if renamed and not await _named(context, tenant, owner, after.name, device_id):
        raise NameConflict
    moved = moves(before, after)
    if moved:
        await _invalidate(context, device_id, metadata)
    command = Change(device_id=device_id, details=after, now=context.clock())
    done = await execute(
        context.store, DEVICE, device_id, command, metadata=metadata, expected=found.version
    )
    token = done.token
    if moved:
        # Again, for what was fetched from the old address in between.
        token = await _invalidate(context, device_id, metadata) or token
        await _forget_breaker(context, after)
    if renamed:
        await numbers.give_back(context.pool, tenant, owner, before.name, device_id)
    device = replace(found.device, details=after)
    return Saved(LoadedDevice(device_id, device, done.version), token)


async def _invalidate(context: Context, device_id: DeviceId, metadata: Metadata) -> str | None:
    command = Invalidate(device_id=device_id, reason="address changed", now=context.clock())
    return (await catalogue.change(context, device_id, command, metadata)).token


async def _forget_breaker(context: Context, details: Details) -> None:
    try:
        await context.breakers.reset(await names.resolve(details.ip, details.port, context.policy))
    except Unreachable:
        return


async def _allowed(context: Context, ip: str, port: int) -> None:
    """Raises BadAddress (R14)."""
    try:
        await names.resolve(ip, port, context.policy)
    except Unreachable:
        # The name cannot be resolved just now.
        return


async def _reachable(
    context: Context, tenant: str, owner: UUID | None, bridge: UUID | None
) -> None:
    """Raises BridgeUnknown, for a bridge that does not exist and for another account's alike."""
    if bridge is None:
        return
    if owner is None or await context.hooks.bridge_owner(context.pool, tenant, bridge) != owner:
        raise BridgeUnknown


async def _named(
    context: Context, tenant: str, owner: UUID, name: str, device_id: DeviceId
) -> bool:
    """Whether the name is the device's by now."""
    taken = await numbers.take_name(context.pool, tenant, owner, name, device_id)
    if taken is None:
        return True
    other, fresh = taken
    history = await context.store.read(tenant, DEVICE.stream(other))
    holder = DEVICE.state_after(history.events)
    uses = holder.details is not None and not holder.removed and holder.details.name == name
    if uses or (fresh and holder.details is None):
        return False
    return await numbers.take_over(context.pool, tenant, owner, name, of=other, device_id=device_id)
