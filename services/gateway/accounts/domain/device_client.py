"""The programs that run on our devices, and who may enrol each."""

from dataclasses import dataclass
from typing import Final

from services.gateway.accounts.domain.realm import BRIDGE, DEVICE, PLATFORM, Place, Realm, scopes_of

HOUSE: Final = Place(Realm.PLATFORM, PLATFORM)
"""Where the platform's administrators act."""
ACCOUNTS: Final = "accounts:*"
"""Who looks after all accounts may also let devices in, anywhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceClient:
    """A public OAuth client: the program of a kind of device.

    Devices get `role` in `realm`, from somebody who has the scope `managed_by` there. One that is
    `personal` is looked after by who let it in alone: where people register themselves, others of
    the same tenant are strangers.
    """

    client_id: str
    title: str
    realm: Realm
    role: str
    managed_by: str
    personal: bool = False

    @property
    def scopes(self) -> frozenset[str]:
        """What a device of this kind may do."""
        return scopes_of(self.realm, self.role)

    def place(self, tenant: str) -> Place:
        """Where such a device of a tenant acts."""
        return Place(self.realm, tenant)

    def is_managed_in(self, place: Place, scopes: frozenset[str], tenant: str) -> bool:
        """Whether somebody with these scopes in `place` may manage such devices of `tenant`."""
        if place == HOUSE:
            return ACCOUNTS in scopes and tenant != PLATFORM
        return place == self.place(tenant) and self.managed_by in scopes

    def is_anybodys_in(self, place: Place) -> bool:
        """Whether such a device may be managed from `place` by others than who let it in."""
        return place == HOUSE or not self.personal


CLIENTS: Final = {
    client.client_id: client
    for client in (
        DeviceClient(
            client_id="tillstream-kiosk",
            title="Kiosk",
            realm=Realm.KIOSK,
            role=DEVICE,
            managed_by="kiosk:can_manage_devices",
        ),
        DeviceClient(
            client_id="tillstream-bridge",
            title="Scale bridge",
            realm=Realm.SCALES,
            role=BRIDGE,
            managed_by="scales:write",
            personal=True,
        ),
    )
}
