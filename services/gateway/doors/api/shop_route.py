"""Routes with the refusals of the shop's clients, and the limit of small bodies."""

from typing import ClassVar

from libs.http.shapes import TEXT, ErrorShape, ShapedRoute


class ShopRoute(ShapedRoute):
    """Answers 422 with a text under `detail` and the list of faults under `errors` (spec shop §1).

    The shop's pages show `detail` as it is, and break on a list.
    """

    shape: ClassVar[ErrorShape | None] = TEXT
