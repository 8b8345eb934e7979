"""What breaks the laws today, by name. These lists may only get shorter.

An entry that is mended is taken from its list: a test fails until then.
"""

from collections.abc import Mapping
from typing import Final

MISPLACED: Final[set[str]] = set()
"""Files, and folders with a slash, outside the rooms."""

WITHOUT_ORDER: Final[set[str]] = set()
"""Services whose subjects the linter does not know yet."""

SMALL_NEIGHBOURS: Final = {
    "services.gateway.proxy.api.verify": "forward-auth: a protocol of its own beside the proxy's",
    "services.gateway.realms.crm.api.route": "the crm's shape of refusals, where kiosk has its own",
    "services.ingest.dashboard.api.presenters": "to be merged",
    "services.ingest.exports.api.csv_lines": "one of two formats",
    "services.ingest.exports.api.xlsx_rows": "the other format",
    "services.ingest.imports.cli.screen": "to be merged",
}
"""Modules below 120 lines whose only importer is their neighbour, with the reason for each."""

LONG_FUNCTIONS: Final = {
    "services/ingest/bootstrap.py: open_deps",
    "services/ingest/imports/cli/commands.py: add_import",
    "services/ingest/imports/cli/commands.py: import_files",
    "services/ingest/quarantine/cli/commands.py: _add_decisions",
    "services/scale_bridge/bootstrap.py: open_deps",
    "services/scale_bridge/bootstrap.py: periodic_tasks",
    "services/scale_bridge/bridges/cli.py: add_bridge",
    "services/scale_bridge/bridges/cli.py: bridge",
    "services/scale_bridge/operations/handlers/completion.py: _taken",
    "services/scale_bridge/operations/handlers/job_context.py: build",
    "services/scale_bridge/operations/handlers/operation.py: enqueue",
}
"""Functions of more than 40 lines."""

WORDS: Final[Mapping[str, set[str]]] = {
    "services/scale_bridge": {
        "Arrival",
        "Found",
        "Heard",
        "Passes",
        "SHOWN",
        "Shown",
        "abandoned",
        "began",
        "behind",
        "decided",
        "healing",
        "listed",
        "own",
        "place",
        "settle",
        "shown",
        "take_on",
        "tell",
        "turn",
        "worded",
    },
}
"""Names of definitions that the glossary replaces, per part of the tree."""
