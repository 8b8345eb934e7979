"""Saying no to what the model of a scale cannot hold (SCL-8): 422 in FastAPI's words, and why."""

from http import HTTPStatus
from typing import Final

from fastapi import Response
from fastapi.responses import JSONResponse

from services.scale_bridge.catalogue.domain.problems import RevisionBeyondModel
from services.scale_bridge.catalogue.domain.product import BeyondModel

CODE: Final = BeyondModel.__name__
MOST: Final = 100
"""Enough to mend a catalogue by; a revision may have thousands."""


def limit_error(error: BeyondModel | RevisionBeyondModel) -> Response:
    """Every field with the limit it is beyond."""
    if isinstance(error, RevisionBeyondModel):
        told = [(("products", one.plu, one.field), one.why) for one in error.problems[:MOST]]
    else:
        told = [(("fields", name, ""), why) for name, why in error.reasons.items()]
    detail = [
        {
            "type": "model_limit",
            "loc": ["body", *(part for part in where if part)],
            "msg": why,
            "input": None,
        }
        for where, why in told
    ]
    return JSONResponse({"detail": detail, "code": CODE}, HTTPStatus.UNPROCESSABLE_ENTITY)
