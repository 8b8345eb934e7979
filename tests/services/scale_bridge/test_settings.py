"""What the scale bridge refuses to start with."""

import pytest

from libs.settings import SettingsFault
from services.scale_bridge.settings import Settings
from tests.services.scale_bridge.service import ENVIRONMENT


def settings(**env: str) -> Settings:
    url = "postgresql://scales@127.0.0.1/scales"
    return Settings.from_env("SCALE_BRIDGE", ENVIRONMENT | {"DATABASE_URL": url} | env)


@pytest.mark.parametrize("currency", ["JOD", "CLP", "XOF", "KZT"])
def test_prices_may_be_in_any_currency_of_iso_4217(currency: str) -> None:
    assert settings(SCALE_BRIDGE_CURRENCY=currency).currency == currency


@pytest.mark.parametrize("currency", ["", "RUR", "ABC", "rub", "XAU"])
def test_a_currency_without_a_minor_unit_is_refused_at_the_start(currency: str) -> None:
    with pytest.raises(SettingsFault, match=r"SCALE_BRIDGE_CURRENCY: must be a currency"):
        settings(SCALE_BRIDGE_CURRENCY=currency)
