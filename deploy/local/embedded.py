"""The two servers: embedded ones, or the real ones an address was given for."""

from deploy.local import kafka, postgres
from deploy.local.child import Program
from deploy.local.download import Tell
from deploy.local.settings import LocalSettings
from deploy.local.trouble import CannotStart


def find_postgres(settings: LocalSettings) -> tuple[Program | None, str]:
    """What to start, if anything, and the address. Raises `CannotStart`."""
    if settings.database_url is None:
        return postgres.postgres_program(settings.home, settings={})
    if not postgres.is_answering(settings.database_url):
        raise CannotStart(
            "The database that DATABASE_URL names does not answer.",
            remedy="Check the address and that the server runs, or unset DATABASE_URL "
            "to use the embedded one.",
        )
    return None, settings.database_url


def find_kafka(settings: LocalSettings, tell: Tell) -> tuple[Program | None, str]:
    """What to start, if anything, and the `host:port`. Raises `CannotStart`."""
    if settings.kafka_bootstrap is None:
        return kafka.kafka_program(settings.home, java=settings.java, tell=tell)
    if not kafka.is_answering(settings.kafka_bootstrap):
        raise CannotStart(
            f"No Kafka answers at {settings.kafka_bootstrap}.",
            remedy="Check KAFKA_BOOTSTRAP_SERVERS and that the broker runs, or unset it "
            "to use the embedded one.",
        )
    return None, settings.kafka_bootstrap
