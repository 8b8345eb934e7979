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
}
"""Functions of more than 40 lines."""

WORDS: Final[Mapping[str, set[str]]] = {
    "services/scale_bridge": {
        "Arrival",
        "Found",
        "Shown",
        "behind",
        "healing",
        "shown",
    },
}
"""Names of definitions that the glossary replaces, per part of the tree.

Those that are left are names that clients or operators write: fields and schemas of the API, and
a setting.
"""
