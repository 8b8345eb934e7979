"""The response with a whole catalogue."""

from fastapi import Response

from libs.http.conditional import ETAG, strong_tag
from services.scale_bridge.catalogue.domain.catalogue import Catalogue
from services.scale_bridge.catalogue.stores import document_store
from services.scale_bridge.context import JSON
from services.scale_bridge.driver.domain.document import Document


async def document_response(document: Document) -> Response:
    """The document in its envelope: `{"products": {…, "products": […]}}` (§1.1)."""
    return Response(b'{"products":' + await document_store.write(document) + b"}", media_type=JSON)


async def tagged_response(catalogue: Catalogue) -> Response:
    """The catalogue, with its revision as entity tag."""
    response = await document_response(catalogue.current_document)
    response.headers[ETAG] = strong_tag(catalogue.revision)
    return response
