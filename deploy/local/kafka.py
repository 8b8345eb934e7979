"""Apache Kafka as one process: broker and controller in KRaft mode, on loopback only."""

import base64
import socket
import struct
import subprocess
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.local import ports
from deploy.local.child import Program
from deploy.local.download import Tell, quietly
from deploy.local.files import rotate, tail, write_whole
from deploy.local.jars import class_path
from deploy.local.java import find_java
from deploy.local.server import Server
from deploy.local.settings import ROOT
from deploy.local.trouble import CannotStart

LOGGING = ROOT / "deploy" / "kafka" / "log4j2.properties"
# Small and quick to start: one collector thread, code compiled once instead of twice. What lives
# takes 30 MB; the young generation is fixed, because all of it is written to again and again.
JVM = (
    *("-Xms40m", "-Xmn10m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    *("-XX:-UsePerfData", "-XX:+IgnoreUnrecognizedVMOptions", "-XX:+UseCompactObjectHeaders"),
)
FORMAT_SECONDS = 120
ASK_SECONDS = 5.0
# Metadata (3) in version 1, request 0, of a client without a name, about no topic.
METADATA_REQUEST = struct.pack(">hhihi", 3, 1, 0, -1, 0)
SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={log}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
# An orderly stop says goodbye, so that the next start need not wait for the session to run out.
controlled.shutdown.enable=true
# After a crash the dead broker's session must run out before the new one may serve.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=600
# At rest it rests: no record twice a second to say so, and as few threads that wake to look for
# work as two cores can use.
metadata.max.idle.interval.ms=0
num.network.threads=1
num.io.threads=2
background.threads=2
group.coordinator.threads=1
remote.log.manager.thread.pool.size=1
# No program reads its figures by JMX, and thousands of them take megabytes.
metric.reporters=
log.cleaner.dedupe.buffer.size=2097152
log.cleaner.io.buffer.size=65536
log.segment.bytes=67108864
"""


@dataclass(kw_only=True)
class KafkaServer(Server):
    """A running broker and the `host:port` clients are given."""

    bootstrap: str


def start_kafka(home: Path, *, java: Path | None = None, tell: Tell = quietly) -> KafkaServer:
    """Start a broker whose data and log live below `home`; ready when it returns."""
    program, bootstrap = kafka_program(home, java=java, tell=tell)
    return KafkaServer(program=program, bootstrap=bootstrap)


def kafka_program(home: Path, *, java: Path | None, tell: Tell) -> tuple[Program, str]:
    """The broker as a program to be supervised, and its `host:port`.

    Downloads the jars and formats the storage when that has not been done. Raises `CannotStart`.
    """
    command = [str(find_java(java)), *JVM, f"-Dlog4j2.configurationFile={LOGGING}", "-cp"]
    command.append(":".join(map(str, class_path(tell))))
    port, controller_port = (
        ports.remembered_port(home, name) for name in ("kafka", "kafka-controller")
    )
    config, log_file = home / "kafka" / "server.properties", home / "logs" / "kafka.log"
    settings = SETTINGS.format(
        host=ports.LOOPBACK, port=port, controller_port=controller_port, log=home / "kafka" / "log"
    )
    write_whole(config, settings)
    if not (home / "kafka" / "log" / "meta.properties").exists():
        _format(command, config, log_file)
    bootstrap = f"{ports.LOOPBACK}:{port}"
    program = Program(
        name="kafka",
        command=(*command, "kafka.Kafka", str(config)),
        log_file=log_file,
        ready=lambda: ports.answers(port) and is_answering(bootstrap),
        pulse=lambda: ports.pulse(port),
        port=port,
    )
    return program, bootstrap


def is_answering(bootstrap: str) -> bool:
    """Whether a broker tells who it is: an open port is not yet a broker."""
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        with suppress(OSError, ValueError, struct.error):
            if _known_brokers(host, int(port)) > 0:
                return True
    return False


def _known_brokers(host: str, port: int) -> int:
    """How many brokers the one at this address knows. Asked by hand: a client library would take
    ten megabytes of the supervisor for the rest of its life. Raises `OSError`, `struct.error`."""
    with socket.create_connection((host, port), timeout=ASK_SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(METADATA_REQUEST)) + METADATA_REQUEST)
        # The size of the answer, the number of the request, the length of the list of brokers.
        _, _, brokers = struct.unpack(">3i", connection.recv(12, socket.MSG_WAITALL))
        return int(brokers)


def _format(command: list[str], config: Path, log_file: Path) -> None:
    rotate(log_file)
    with log_file.open("ab") as log:
        tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted"]
        done = subprocess.run(
            [*command, *tool, "-t", _cluster_id(), "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=FORMAT_SECONDS,
        )
    if done.returncode != 0:
        raise CannotStart(
            "Kafka could not prepare its storage.",
            remedy=f"{log_file} ends with:\n{tail(log_file)}",
        )


def _cluster_id() -> str:
    """22 letters of URL-safe base64, as Kafka wants it; a dash in front would read as an option."""
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return text if not text.startswith("-") else _cluster_id()
