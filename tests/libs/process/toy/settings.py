"""Settings of the bakery."""

from libs.process.context import ApiSettings


class Settings(ApiSettings):
    """Read from `BAKERY_…`."""
