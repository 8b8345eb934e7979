"""The programs that run on devices, and the scopes that manage them."""

from dataclasses import dataclass
from typing import Final

from services.gateway.accounts.domain.realm import (
    BRIDGE,
    KIOSK_ITSELF,
    PLATFORM,
    PLATFORM_WORKSPACE,
    Realm,
    Workspace,
    scopes_of,
)

ACCOUNTS: Final = "accounts:*"
"""The scope of the platform's administrators; it also manages the devices of all tenants."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceClient:
    """A public OAuth client: the program of one kind of device.

    A device gets `role` in `realm`, approved by an account with the scope `managed_by` there. A
    `personal` device is managed by the account that enrolled it only: where people register
    themselves, other accounts of the tenant are strangers.
    """

    client_id: str
    title: str
    realm: Realm
    role: str
    managed_by: str
    personal: bool = False

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes of the device's role."""
        return scopes_of(self.realm, self.role)

    def workspace(self, tenant: str) -> Workspace:
        """The workspace of a tenant's devices of this kind."""
        return Workspace(self.realm, tenant)

    def is_managed_in(self, workspace: Workspace, scopes: frozenset[str], tenant: str) -> bool:
        """Whether the scopes, held in `workspace`, may manage such devices of `tenant`."""
        if workspace == PLATFORM_WORKSPACE:
            return ACCOUNTS in scopes and tenant != PLATFORM
        return workspace == self.workspace(tenant) and self.managed_by in scopes

    def is_shared_in(self, workspace: Workspace) -> bool:
        """Whether managers in `workspace` may manage such devices that others enrolled."""
        return workspace == PLATFORM_WORKSPACE or not self.personal


CLIENTS: Final = {
    client.client_id: client
    for client in (
        DeviceClient(
            client_id="tillstream-kiosk",
            title="Kiosk",
            realm=Realm.KIOSK,
            role=KIOSK_ITSELF,
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
