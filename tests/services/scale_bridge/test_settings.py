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


@pytest.mark.parametrize("sources", ["demo", "demo=", "demo=shop-7,demo=shop-8", "demo=Shop 7"])
def test_price_sources_that_name_no_shop_or_two_are_refused_at_the_start(sources: str) -> None:
    with pytest.raises(SettingsFault, match=r"SCALE_BRIDGE_PRICE_SOURCES: must look like"):
        settings(SCALE_BRIDGE_PRICE_SOURCES=sources)


def test_scales_follow_the_shop_of_their_own_tenant_unless_they_have_a_source() -> None:
    given = settings(SCALE_BRIDGE_PRICE_SOURCES="demo=shop-7,north=shop-7")

    assert given.followers("shop-7") == ["shop-7", "demo", "north"]
    assert given.followers("demo") == []
    assert settings().followers("demo") == ["demo"]
