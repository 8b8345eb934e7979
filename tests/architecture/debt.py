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
    "services.scale_bridge.driver.adapters.safe_driver": "to be merged",
    "services.scale_bridge.driver.adapters.vendor": "to be merged",
}
"""Modules below 120 lines whose only importer is their neighbour, with the reason for each."""

LONG_FUNCTIONS: Final = {
    "services/scale_bridge/bootstrap.py: open_deps",
    "services/scale_bridge/bootstrap.py: periodic_tasks",
    "services/scale_bridge/bridges/cli.py: add_bridge",
    "services/scale_bridge/bridges/cli.py: bridge",
    "services/scale_bridge/driver/cli/fleet.py: add_fleet",
    "services/scale_bridge/driver/cli/fleet.py: fleet",
    "services/scale_bridge/driver/cli/simulator.py: add_simulator",
    "services/scale_bridge/driver/cli/simulator.py: simulator",
    "services/scale_bridge/operations/handlers/completion.py: _taken",
    "services/scale_bridge/operations/handlers/job_context.py: build",
    "services/scale_bridge/operations/handlers/operation.py: enqueue",
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
        "Heard",
        "Pace",
        "Passes",
        "SHOWN",
        "Shown",
        "abandoned",
        "began",
        "behind",
        "beside",
        "converse",
        "countdown",
        "decided",
        "doubt",
        "found",
        "healing",
        "listed",
        "own",
        "pace",
        "place",
        "settle",
        "shown",
        "take_on",
        "tell",
        "turn",
        "wanted",
        "worded",
        "wording",
    },
}
"""Names of definitions that the glossary replaces, per part of the tree."""
