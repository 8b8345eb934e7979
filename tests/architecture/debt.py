"""What breaks the laws today, by name. These lists may only get shorter.

An entry that is mended is taken from its list: a test fails until then.
"""

from collections.abc import Mapping
from typing import Final

MISPLACED: Final = {
    "gateway/routers.py",
    "scale_bridge/driver/simulator/",
}
"""Files, and folders with a slash, outside the rooms."""

WITHOUT_ORDER: Final[set[str]] = set()
"""Services whose subjects the linter does not know yet."""

SMALL_NEIGHBOURS: Final = {
    "services.gateway.device_grants.api.page_guard": "to be merged",
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
    "libs/http/app.py: create_app",
    "libs/messaging/worker.py: open_worker",
    "libs/postgres/pool.py: open_pool",
    "libs/process/commands.py: command_line",
    "libs/process/lifecycle.py: serve",
    "libs/projections/apply.py: apply_page",
    "libs/projections/membership.py: rejoin",
    "libs/testing/hostile.py: answer_of",
    "services/gateway/administration/cli/commands.py: account_commands",
    "services/gateway/api_keys/cli.py: key_commands",
    "services/gateway/bootstrap.py: make_deps",
    "services/gateway/sessions/handlers/login.py: log_in",
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
    "libs": {
        "Load",
        "Place",
        "Raced",
        "STANDING",
        "Schemas",
        "behind",
        "doubt",
        "guess",
        "lead",
        "mending",
        "nobody",
        "passes",
        "place",
        "reach",
        "replan",
        "restored",
        "rounds",
        "said",
        "sending",
        "settle",
        "shown",
        "storable",
        "tell",
        "tries",
        "unpark",
        "waiting",
        "wanted",
    },
    "services/gateway": {
        "Asked",
        "Place",
        "Question",
        "SAID",
        "SHOWN",
        "Wanted",
        "acting",
        "asked",
        "behind",
        "generation",
        "guarded",
        "inner",
        "intake",
        "listed",
        "opened",
        "place",
        "question",
        "settle",
        "shown",
        "tries",
        "waiting",
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
