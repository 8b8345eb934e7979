"""The shop under test: its API in this process, and members of its staff."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar, Final

from httpx import AsyncClient

from libs.security.sealing import generate_key
from libs.telemetry.traces import Telemetry
from libs.testing.services import ServiceKit, open_kit
from services.shop.bootstrap import SERVICE
from services.shop.context import tenant_of
from services.shop.settings import Settings

TENANT: Final = tenant_of(7)
SEAL_KEY: Final = generate_key()
PERMISSIONS: Final = ("orders", "warehouse", "customers", "production", "settings", "users")


class ShopKit(ServiceKit):
    """The API of the shop; callers are members of shop 7 by default."""

    SCOPES: ClassVar = tuple(f"shop:{key}" for key in PERMISSIONS)

    def staff(self, *permissions: str, number: int = 7) -> AbstractAsyncContextManager[AsyncClient]:
        """A client of a member of a shop, by default with all permissions."""
        scopes = tuple(f"shop:{key}" for key in permissions or PERMISSIONS)
        return self.client(tenant=tenant_of(number), scopes=scopes)


@asynccontextmanager
async def open_shop(
    database: str,
    *,
    by_worker: bool = False,
    real_tokens: bool = False,
    telemetry: Telemetry | None = None,
    **settings: Any,
) -> AsyncIterator[ShopKit]:
    """The API of the shop on a migrated database; the options are those of `open_kit`."""
    given = Settings.model_validate(
        {
            "database_url": database,
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "jwks_url": "http://127.0.0.1:1/jwks.json",
            "seal_keys": SEAL_KEY,
            "files_url": "memory:///",
            **settings,
        }
    )
    options: dict[str, Any] = {"by_worker": by_worker, "real_tokens": real_tokens}
    async with open_kit(ShopKit, SERVICE, given, telemetry=telemetry, **options) as kit:
        yield kit
