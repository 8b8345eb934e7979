"""Middleware that disables aiohttp's own retry."""

import aiohttp


class _Lost(aiohttp.ClientError):
    """A lost connection, by a name that aiohttp does not answer with a retry of its own."""


async def no_retry(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep it from repeating PUT and DELETE by itself on a connection that was closed."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except aiohttp.ServerTimeoutError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Lost from error
