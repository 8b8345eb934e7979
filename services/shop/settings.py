"""The settings of the shop's service."""

from typing import Annotated

from libs.process.context import ApiSettings
from libs.security.vault import VaultSettings
from libs.settings import TimeZoneSettings, checked


class Settings(VaultSettings, TimeZoneSettings, ApiSettings):
    """Read from `SHOP_…`. Days begin at midnight in `timezone` (spec shop §1)."""

    timezone: Annotated[str, checked(str)] = "Asia/Almaty"
