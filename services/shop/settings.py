"""The settings of the shop's service."""

from typing import Annotated

from pydantic import Field, SecretStr

from libs.process.context import ApiSettings
from libs.security.vault import VaultSettings
from libs.settings import TimeZoneSettings, checked


class Settings(VaultSettings, TimeZoneSettings, ApiSettings):
    """Read from `SHOP_…`. Days begin at midnight in `timezone` (spec shop §1).

    `payment_secret` signs what payment providers report; without it nothing is accepted of them.
    """

    timezone: Annotated[str, checked(str)] = "Asia/Almaty"
    payment_secret: Annotated[SecretStr, Field(min_length=16)] | None = None
