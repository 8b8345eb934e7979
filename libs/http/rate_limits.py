"""Rate limit headers by draft-ietf-httpapi-ratelimit-headers."""

from libs.errors import RateLimit


def rate_limit_headers(limit: RateLimit, *, remaining: int, reset_seconds: int) -> dict[str, str]:
    """The requests remaining of a limit, and the seconds until it is reset."""
    return {
        "RateLimit-Policy": f'"{limit.name}";q={limit.quota};w={limit.window_seconds}',
        "RateLimit": f'"{limit.name}";r={remaining};t={reset_seconds}',
    }


def too_many_headers(retry_after: int, limit: RateLimit | None) -> dict[str, str]:
    """The headers of every 429. Without a limit, the service is out of capacity."""
    headers = {"Retry-After": str(retry_after)}
    if limit is not None:
        headers |= rate_limit_headers(limit, remaining=0, reset_seconds=retry_after)
    return headers
