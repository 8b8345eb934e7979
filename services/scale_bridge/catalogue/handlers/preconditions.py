"""Optimistic preconditions: an edit applies only to the revision its author has seen (SCL-3)."""

from collections.abc import Callable

from libs.errors import Refused
from services.scale_bridge.catalogue.domain.catalogue import Catalogue
from services.scale_bridge.catalogue.domain.commands import CatalogueCommand, Edit
from services.scale_bridge.catalogue.handlers.catalogue import CommandFactory
from services.scale_bridge.driver.domain.document import find


class ChangedMeanwhile(Refused):
    """The catalogue is not the one this change was meant for; it is at `revision` now."""

    def __init__(self, revision: int) -> None:
        super().__init__()
        self.revision = revision


def if_match(if_match_allows: Callable[[int], bool], edit: Edit) -> CommandFactory:
    """The edit, if the revision that it would be decided on is wanted.

    It is looked at on every attempt of `catalogue.change`, so that of many who have seen the same
    revision one succeeds. Raises ChangedMeanwhile. Of a product that is not there nothing is asked:
    that says so itself (RFC 9110 §13.2.1).
    """

    async def command(copy: Catalogue) -> CatalogueCommand:
        if find(copy.current_document, edit.plu) is not None and not if_match_allows(copy.revision):
            raise ChangedMeanwhile(copy.revision)
        return edit

    return command
