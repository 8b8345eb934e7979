"""Rate limits in the fields of draft-ietf-httpapi-ratelimit-headers, spelled in one place."""

from libs.errors import RateLimit


def rate_limit_headers(limit: RateLimit, *, remaining: int, reset_seconds: int) -> dict[str, str]:
    """What is left of a limit, and in how many seconds it begins anew."""
    return {
        "RateLimit-Policy": f'"{limit.name}";q={limit.quota};w={limit.window_seconds}',
        "RateLimit": f'"{limit.name}";r={remaining};t={reset_seconds}',
    }


def too_many_headers(retry_after: int, limit: RateLimit | None) -> dict[str, str]:
    """The headers of every 429. Without a limit, there is no room for the moment."""
    headers = {"Retry-After": str(retry_after)}
    if limit is not None:
        headers |= rate_limit_headers(limit, remaining=0, reset_seconds=retry_after)
    return headers
