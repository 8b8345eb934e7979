"""Optimistic preconditions: an edit applies only to the revision its author has seen (SCL-3)."""

from collections.abc import Callable

from libs.errors import Refused
from services.scale_bridge.catalogue.domain.catalogue import Catalogue, CatalogueCommand, Edit
from services.scale_bridge.catalogue.handlers.catalogue import CommandFactory
from services.scale_bridge.driver.domain.document import position_of


class ChangedMeanwhile(Refused):
    """The catalogue is not the one this change was meant for; it is at `revision` now."""

    def __init__(self, revision: int) -> None:
        super().__init__()
        self.revision = revision


def if_match(matches: Callable[[int], bool], edit: Edit) -> CommandFactory:
    """A command that raises ChangedMeanwhile unless the current revision matches.

    It is checked on every attempt of `catalogue.change`, so that one of several concurrent edits of
    the same revision succeeds. It is not checked for an unknown product, which is refused as such
    (RFC 9110 §13.2.1).
    """

    async def command(catalogue: Catalogue) -> CatalogueCommand:
        known = position_of(catalogue.current_document, edit.plu) is not None
        if known and not matches(catalogue.revision):
            raise ChangedMeanwhile(catalogue.revision)
        return edit

    return command
