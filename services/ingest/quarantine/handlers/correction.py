"""The content of a quarantined event, and its correction."""

from dataclasses import dataclass

from contracts.ingest import ScanQuarantined
from services.ingest.quarantine.domain import CutShort, patched
from services.ingest.scans.handlers.body import BadRequest, load, not_json


@dataclass(frozen=True, slots=True)
class Correction:
    """A JSON merge patch, or the whole event as it should have been."""

    value: object
    is_patch: bool

    def of(self, kept: ScanQuarantined) -> object:
        """The event, corrected. Raises CutShort if there is only a patch for it, and no whole."""
        return patched(whole(kept), self.value) if self.is_patch else self.value


def read_correction(body: bytes) -> Correction:
    """`{"patch": {…}}`, or the corrected event itself. Raises BadRequest."""
    try:
        value = load(body.decode("utf-8-sig", "surrogateescape").strip())
    except (ValueError, RecursionError):
        raise not_json("not JSON, or nested too deep") from None
    if not isinstance(value, dict):
        raise BadRequest("model_attributes_type", [], "Input should be a JSON object")
    if set(value) == {"patch"} and isinstance(value["patch"], dict):
        return Correction(value["patch"], is_patch=True)
    return Correction(value, is_patch=False)


def whole(kept: ScanQuarantined) -> object:
    """The JSON value of a quarantined event. Raises CutShort if not all of it was kept."""
    # An object that was cut is no JSON any more, and nothing else can ever be a scan.
    try:
        return load(kept.raw)
    except (ValueError, RecursionError):
        raise CutShort from None
