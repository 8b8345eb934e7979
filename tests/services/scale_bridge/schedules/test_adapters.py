"""Time zones by name; other names are refused."""

import pytest

from services.scale_bridge.schedules.adapters import UnknownZone, zone

KNOWN = ["Europe/Moscow", "Australia/Lord_Howe", "America/Argentina/Ushuaia", "UTC", "Etc/GMT+3"]
UNKNOWN = [
    *("", "Europe", "Europe/Moskow", "europe/moscow", "Europe/Moscow ", "Europe/Moscow\x00"),
    *("/etc/passwd", "../../etc/passwd", "right/Europe/Moscow", "posix/Europe/Moscow"),
    *("localtime", "Factory", "zone.tab", "leapseconds", "MSK-3", "+03:00", "Европа/Москва"),
    "A" * 300,
]


@pytest.mark.parametrize("name", KNOWN)
def test_a_zone_is_loaded_by_its_name(name: str) -> None:
    assert zone(name).key == name


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_names_are_unknown_zones(name: str) -> None:
    with pytest.raises(UnknownZone):
        zone(name)
