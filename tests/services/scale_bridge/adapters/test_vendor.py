"""The driver is the one that was examined, and nobody else's copy of it is touched."""

import logging
import time
from pathlib import Path

import pytest
import scales.scales as published  # type: ignore[import-untyped]
from scales.utilities import get_json_from_bytearray  # type: ignore[import-untyped]

from services.scale_bridge.adapters import vendor
from services.scale_bridge.adapters.vendor import UnsuitableDriver, load_driver


def test_the_copy_is_the_published_file_and_the_published_module_stays_as_it_is() -> None:
    copy = load_driver()

    assert Path(str(copy.__file__)) == Path(str(published.__file__))
    assert copy.Scales is not published.Scales
    assert published.time is time
    assert published.logging is logging
    assert published.get_json_from_bytearray is get_json_from_bytearray


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor, "VERSION", "0.1.2")

    with pytest.raises(UnsuitableDriver, match=r"is 0\.1\.3; the guard was made for 0\.1\.2"):
        load_driver()


def test_a_driver_without_a_name_that_is_relied_on_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vendor, "_METHODS", (*vendor._METHODS, "_Scales__not_there"))

    with pytest.raises(UnsuitableDriver, match="lacks _Scales__not_there"):
        load_driver()


def test_a_driver_that_is_not_installed_is_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vendor, "PACKAGE", "scales-of-nobody")

    with pytest.raises(UnsuitableDriver, match="is not installed"):
        load_driver()
