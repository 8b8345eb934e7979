"""How services and the categories of their streams are spelled on the wire."""


def spelled(service: str) -> str:
    """A service as topics and events spell it: `scale-bridge`, where Python says `scale_bridge`."""
    return service.replace("_", "-")


def category_of(service: str, stream: str) -> str:
    """The category a service's stream belongs to: `ingest.scan` for `scan-7f…`."""
    return f"{service}.{stream.partition('-')[0]}"
