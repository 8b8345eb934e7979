"""The names of services and of their stream categories on the wire."""


def wire_name(service: str) -> str:
    """A service's name in topics and events: `scale-bridge` for the package `scale_bridge`."""
    return service.replace("_", "-")


def category_of(service: str, stream: str) -> str:
    """The category of a service's stream: `ingest.scan` for `scan-7f…`."""
    return f"{service}.{stream.partition('-')[0]}"
