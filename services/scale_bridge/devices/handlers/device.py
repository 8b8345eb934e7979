"""What happens when somebody registers a scale, changes it, or has it forgotten.

Names are one owner's own (§1.3): a name is taken before the event that uses it, and a name whose
taker does not use it, because it died or has another by now, may be taken over.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from uuid import UUID, uuid5

from contracts.scale_bridge import DeviceId
from libs.errors import Refused, Unavailable, Unfit
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Cause, VersionConflict
from libs.security.sealing import SealBroken
from services.scale_bridge.bridges.stores import bridges
from services.scale_bridge.catalogue.domain.copy_commands import Invalidate
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.catalogue.stores import copies
from services.scale_bridge.desk import Desk
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
class Found:
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

    found: Found
    token: str | None


def owner_of(subject: str) -> UUID:
    """Whose devices a caller's are: the account, or what stands for one that is no UUID."""
    try:
        return UUID(subject)
    except ValueError:
        return uuid5(_PEOPLE, subject)


async def load(desk: Desk, tenant: str, device_id: DeviceId) -> Found:
    """A device that is still known. Raises DeviceUnknown, LogUnavailable."""
    history = await desk.store.read(tenant, DEVICE.stream(device_id))
    found = Found(device_id, DEVICE.state_after(history.events), history.version)
    details_of(found.device)
    return found


async def own(desk: Desk, tenant: str, owner: UUID, number: int) -> Found:
    """One's own device by its number; anybody else's is not there. Raises DeviceUnknown."""
    found = await load(desk, tenant, device_id_of(number))
    if found.device.owner != owner:
        raise DeviceUnknown
    return found


async def belongs(desk: Desk, tenant: str, device_id: DeviceId, owner: UUID) -> bool:
    """Whether a device is, or was, somebody's. Raises LogUnavailable."""
    history = await desk.store.read(tenant, DEVICE.stream(device_id))
    return DEVICE.state_after(history.events).owner == owner


async def register(desk: Desk, owner: UUID, given: Given, cause: Cause) -> Saved:
    """Make a device known.

    Raises NameTaken, BadAddress, BadPassword, BridgeUnknown, Unavailable.
    """
    password = checked(given.password or "")
    await _allowed(desk, given.ip or "", given.port or 0)
    await _reachable(desk, cause.tenant, owner, given.bridge or None)
    number = await numbers.next_number(desk.pool)
    device_id = device_id_of(number)
    details = Details(
        name=given.name or "",
        description=given.description or "",
        ip=given.ip or "",
        port=given.port or 0,
        protocol=TCP,
        password=desk.seal.seal(password, str(device_id)),
        bridge=given.bridge or None,
    )
    if not await _named(desk, cause.tenant, owner, details.name, device_id):
        raise NameTaken
    command = Register(
        device_id=device_id, number=number, owner=owner, details=details, now=desk.clock()
    )
    done = await execute(desk.store, DEVICE, device_id, command, cause=cause)
    device = DEVICE.state_after(done.events)
    return Saved(Found(device_id, device, done.version), done.token)


async def change(desk: Desk, found: Found, given: Given, cause: Cause) -> Saved:
    """Change what is given; at another address its catalogue is invalid (R9).

    Raises NameConflict, DeviceUnknown, BadAddress, BadPassword, BridgeUnknown, Unavailable.
    """
    for _ in range(ATTEMPTS):
        details = await _changed(desk, cause.tenant, found, given)
        try:
            return await _change(desk, found, details, cause)
        except VersionConflict:
            found = await load(desk, cause.tenant, found.device_id)
    raise Unavailable("device")


async def remove(desk: Desk, found: Found, cause: Cause) -> str | None:
    """Forget a device; the token to read it back with. Safe to repeat."""
    command = Remove(device_id=found.device_id, now=desk.clock())
    done = await execute(desk.store, DEVICE, found.device_id, command, cause=cause)
    owner, name = found.device.owner, found.details.name
    if owner is not None:
        await numbers.give_back(desk.pool, cause.tenant, owner, name, found.device_id)
    await copies.forget(desk.pool, cause.tenant, found.device_id)
    return done.token


async def _changed(desk: Desk, tenant: str, found: Found, given: Given) -> Details:
    before = found.details
    said: dict[str, Any] = {
        name: value
        for name in ("name", "description", "ip", "port")
        if (value := getattr(given, name)) is not None
    }
    if given.bridge is not None:
        said["bridge"] = given.bridge or None
    if given.password is not None:
        said["password"] = _sealed(desk, found, checked(given.password))
    after = replace(before, **said)
    if given.ip is not None or given.port is not None:
        await _allowed(desk, after.ip, after.port)
    if after.bridge != before.bridge:
        await _reachable(desk, tenant, found.device.owner, after.bridge)
    return after


def _sealed(desk: Desk, found: Found, password: str) -> str:
    """The same sealed text for the same password, so that nothing changes."""
    context = str(found.device_id)
    try:
        if desk.seal.open(found.details.password, context) == password:
            return found.details.password
    except SealBroken:
        # Whatever it was: now it can be opened again (R17).
        pass
    return desk.seal.seal(password, context)


async def _change(desk: Desk, found: Found, after: Details, cause: Cause) -> Saved:
    before, owner = found.details, found.device.owner
    if owner is None:
        raise DeviceUnknown
    tenant, device_id = cause.tenant, found.device_id
    renamed = before.name != after.name
    if renamed and not await _named(desk, tenant, owner, after.name, device_id):
        raise NameConflict
    moved = moves(before, after)
    if moved:
        await _invalidate(desk, device_id, cause)
    command = Change(device_id=device_id, details=after, now=desk.clock())
    done = await execute(
        desk.store, DEVICE, device_id, command, cause=cause, expected=found.version
    )
    token = done.token
    if moved:
        # Again, for what was fetched from the old address in between.
        token = await _invalidate(desk, device_id, cause) or token
        await _forget_breaker(desk, after)
    if renamed:
        await numbers.give_back(desk.pool, tenant, owner, before.name, device_id)
    device = replace(found.device, details=after)
    return Saved(Found(device_id, device, done.version), token)


async def _invalidate(desk: Desk, device_id: DeviceId, cause: Cause) -> str | None:
    command = Invalidate(device_id=device_id, reason="address changed", now=desk.clock())
    return (await catalogue.change(desk, device_id, command, cause)).token


async def _forget_breaker(desk: Desk, details: Details) -> None:
    try:
        await desk.breakers.reset(await names.find(details.ip, details.port, desk.policy))
    except Unreachable:
        return


async def _allowed(desk: Desk, ip: str, port: int) -> None:
    """Raises BadAddress (R14)."""
    try:
        await names.find(ip, port, desk.policy)
    except Unreachable:
        # A name that nobody knows just now.
        return


async def _reachable(desk: Desk, tenant: str, owner: UUID | None, bridge: UUID | None) -> None:
    """Raises BridgeUnknown, the same of one that is nobody's and of one that is another's."""
    if bridge is None:
        return
    if owner is None or await bridges.owner_of(desk.pool, tenant, bridge) != owner:
        raise BridgeUnknown


async def _named(desk: Desk, tenant: str, owner: UUID, name: str, device_id: DeviceId) -> bool:
    """Whether the name is the device's by now."""
    taken = await numbers.take_name(desk.pool, tenant, owner, name, device_id)
    if taken is None:
        return True
    other, fresh = taken
    history = await desk.store.read(tenant, DEVICE.stream(other))
    holder = DEVICE.state_after(history.events)
    uses = holder.details is not None and not holder.removed and holder.details.name == name
    if uses or (fresh and holder.details is None):
        return False
    return await numbers.take_over(desk.pool, tenant, owner, name, of=other, device_id=device_id)
