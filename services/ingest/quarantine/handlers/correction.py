"""The content of a quarantined event, and its correction."""

from dataclasses import dataclass

from contracts.ingest import ScanQuarantined
from services.ingest.quarantine.domain import CutShort, patched
from services.ingest.scans.handlers.body import BadRequest, load_json, not_json


@dataclass(frozen=True, slots=True)
class Correction:
    """A JSON merge patch, or the whole event as it should have been."""

    value: object
    is_patch: bool

    def apply(self, event: ScanQuarantined) -> object:
        """The corrected event. Raises CutShort for a patch of an event that is not stored whole."""
        return patched(json_value(event), self.value) if self.is_patch else self.value


def read_correction(body: bytes) -> Correction:
    """Parse `{"patch": {…}}` or the corrected event itself. Raises BadRequest."""
    try:
        value = load_json(body.decode("utf-8-sig", "surrogateescape").strip())
    except (ValueError, RecursionError):
        raise not_json("not JSON, or nested too deep") from None
    if not isinstance(value, dict):
        raise BadRequest("model_attributes_type", [], "Input should be a JSON object")
    if set(value) == {"patch"} and isinstance(value["patch"], dict):
        return Correction(value["patch"], is_patch=True)
    return Correction(value, is_patch=False)


def json_value(event: ScanQuarantined) -> object:
    """The JSON value of a quarantined event. Raises CutShort if only its start is stored."""
    # A truncated object is invalid JSON; a truncated value of another kind can never be a scan.
    try:
        return load_json(event.raw)
    except (ValueError, RecursionError):
        raise CutShort from None
