"""The settings of the shop's service."""

from typing import Annotated

from pydantic import Field, SecretStr

from libs.currency import minor_unit_digits
from libs.files.store import FileSettings
from libs.http.sockets import SocketSettings
from libs.process.context import ApiSettings
from libs.security.vault import VaultSettings
from libs.settings import TimeZoneSettings, checked


class Settings(SocketSettings, FileSettings, VaultSettings, TimeZoneSettings, ApiSettings):
    """Read from `SHOP_…`. Days begin at midnight in `timezone`, amounts are in the major unit of
    `currency` (ISO 4217), by default tenge (spec shop §1).

    `payment_secret` signs what payment providers report; without it nothing is accepted of them.
    """

    timezone: Annotated[str, checked(str)] = "Asia/Almaty"
    currency: Annotated[str, checked(minor_unit_digits)] = "KZT"
    payment_secret: Annotated[SecretStr, Field(min_length=16)] | None = None
