"""422 for values beyond the limits of the scale's model (SCL-8), in FastAPI's format."""

from http import HTTPStatus
from typing import Final

from fastapi import Response
from fastapi.responses import JSONResponse

from services.scale_bridge.catalogue.domain.problems import RevisionBeyondModel
from services.scale_bridge.catalogue.domain.product import BeyondModel

CODE: Final = BeyondModel.__name__
MOST: Final = 100
"""The most faults in one response; a revision may have thousands."""


def limit_error(error: BeyondModel | RevisionBeyondModel) -> Response:
    """The response with every field and the limit it exceeds."""
    if isinstance(error, RevisionBeyondModel):
        faults = [(("products", one.plu, one.field), one.why) for one in error.problems[:MOST]]
    else:
        faults = [(("fields", name, ""), why) for name, why in error.reasons.items()]
    detail = [
        {
            "type": "model_limit",
            "loc": ["body", *(part for part in where if part)],
            "msg": why,
            "input": None,
        }
        for where, why in faults
    ]
    return JSONResponse({"detail": detail, "code": CODE}, HTTPStatus.UNPROCESSABLE_ENTITY)
