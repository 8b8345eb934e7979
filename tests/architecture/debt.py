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
}
"""Modules below 120 lines whose only importer is their neighbour, with the reason for each."""

LONG_FUNCTIONS: Final[set[str]] = set()
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
