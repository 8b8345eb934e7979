"""What breaks the laws today, by name. These lists may only get shorter.

An entry that is mended is taken from its list: a test fails until then.
"""

from collections.abc import Mapping
from typing import Final

MISPLACED: Final = {
    "scale_bridge/driver/simulator/",
}
"""Files, and folders with a slash, outside the rooms."""

WITHOUT_ORDER: Final[set[str]] = set()
"""Services whose subjects the linter does not know yet."""

SMALL_NEIGHBOURS: Final = {
    "services.gateway.proxy.api.verify": "to be merged",
    "services.gateway.realms.crm.api.route": "to be merged",
    "services.gateway.realms.crm.api.shapes": "to be merged",
    "services.gateway.realms.kiosk.api.user_forms": "to be merged",
    "services.gateway.realms.shop.api.user_forms": "to be merged",
    "services.ingest.dashboard.api.presenters": "to be merged",
    "services.ingest.exports.api.csv_lines": "one of two formats",
    "services.ingest.exports.api.xlsx_rows": "the other format",
    "services.ingest.imports.cli.screen": "to be merged",
    "services.scale_bridge.driver.adapters.safe_driver": "to be merged",
    "services.scale_bridge.driver.adapters.vendor": "to be merged",
}
"""Modules below 120 lines whose only importer is their neighbour, with the reason for each."""

LONG_FUNCTIONS: Final = {
    "services/ingest/bootstrap.py: open_deps",
    "services/ingest/imports/cli/commands.py: add_import",
    "services/ingest/imports/cli/commands.py: import_files",
    "services/ingest/quarantine/cli/commands.py: _add_decisions",
    "services/scale_bridge/driver/cli/fleet.py: add_fleet",
    "services/scale_bridge/driver/cli/fleet.py: fleet",
    "services/scale_bridge/driver/cli/simulator.py: add_simulator",
    "services/scale_bridge/driver/cli/simulator.py: simulator",
}
"""Functions of more than 40 lines."""

WORDS: Final[Mapping[str, set[str]]] = {
    "services/gateway": {
        "SAID",
        "SHOWN",
        "listed",
        "opened",
        "tries",
        "wanted",
    },
    "services/scale_bridge": {
        "Arrival",
        "Found",
        "Pace",
        "Shown",
        "behind",
        "beside",
        "converse",
        "countdown",
        "decided",
        "doubt",
        "found",
        "healing",
        "own",
        "pace",
        "place",
        "settle",
        "shown",
        "wanted",
        "wording",
    },
}
"""Names of definitions that the glossary replaces, per part of the tree."""
