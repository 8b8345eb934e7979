"""Kafka's jars by their Maven coordinates, each compared with the hash in `jars.lock`."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from deploy.local.download import Progress, Tell, watch_downloads
from deploy.local.settings import ROOT
from deploy.local.trouble import CannotStart

if TYPE_CHECKING:
    from jgo.env import Environment

LOCK = ROOT / "deploy" / "kafka" / "jars.lock"
KAFKA = "org.apache.kafka:kafka_2.13:4.3.1"
# Resolved on its own: its list of recommended versions would drag Kafka's own libraries back.
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"


def class_path(tell: Tell) -> list[Path]:
    """Every jar of the broker, verified. Downloads what is missing and shows that it does.

    They lie in a folder of ours, named after the lock: the resolver may write its own files anew
    while another program starts. Raises `CannotStart` when the registry cannot be reached or a jar
    is not the locked one.
    """
    locked = read_lock(LOCK)
    home = _cache() / f"jars-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    with _one_at_a_time():
        jars = {path.name: path for path in home.glob("*.jar")}
        if mismatches(jars, locked):
            with watch_downloads(tell, files=len(locked)) as progress:
                _put(_resolved(progress, locked), home)
            shutil.rmtree(_resolver_home(), ignore_errors=True)
    return [home / name for name in sorted(locked)]


def _resolved(progress: Progress, locked: dict[str, str]) -> dict[str, Path]:
    """File name → path in the resolver's own cache. Raises `CannotStart`."""
    environments = _build(progress)
    wrong = mismatches(jars_of(environments), locked)
    if wrong:
        # An interrupted download leaves a torn file in the cache: fetch those once more.
        _forget(environments, wrong)
        environments = _build(progress)
    jars = jars_of(environments)
    for name in mismatches(jars, locked):
        raise CannotStart(
            f"{name} is not the file that deploy/kafka/jars.lock names.",
            remedy="Do not use it: find out whether the mirror or the proxy you use changes files.",
        )
    return jars


def _put(jars: dict[str, Path], home: Path) -> None:
    """Copy the jars into `home`, all of them or none."""
    draft = home.with_name(f"{home.name}.draft")
    for folder in (draft, home):
        shutil.rmtree(folder, ignore_errors=True)
    draft.mkdir(parents=True)
    for name, path in jars.items():
        shutil.copyfile(path, draft / name)
    draft.rename(home)


def jars_of(environments: "list[Environment]") -> dict[str, Path]:
    """File name → path. Where both bring a jar, Kafka's own stands; so order matters."""
    kafka, logging = environments
    binding = LOGGING.split(":")[1]
    added = [jar for jar in logging.all_jars if jar.name.startswith(f"{binding}-")]
    return {jar.name: jar for jar in [*kafka.all_jars, *added]}


def read_lock(lock: Path) -> dict[str, str]:
    """File name → SHA-256 in hex, from lines `group:artifact:version sha256`."""
    pairs = [line.split() for line in lock.read_text().splitlines() if not line.startswith("#")]
    return {_file_name(coordinate): digest for coordinate, digest in pairs}


def mismatches(jars: dict[str, Path], locked: dict[str, str]) -> list[str]:
    """The names that are missing, not locked, or of another content; sorted."""
    found = {name: _digest(path) for name, path in jars.items()}
    return sorted(dict(found.items() ^ locked.items()))


def _digest(path: Path) -> str:
    """Read piece by piece: whole jars would leave the supervisor larger for ever."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_lock(tell: Tell) -> None:
    """Resolve afresh and write the lock; read the difference before committing it."""
    with _one_at_a_time(), watch_downloads(tell, files=len(read_lock(LOCK))) as progress:
        environments = _build(progress)
    jars = jars_of(environments)
    known = {
        f"{each.artifactId}-{each.version}.jar": f"{each.groupId}:{each.artifactId}:{each.version}"
        for environment in environments
        for each in (environment.lockfile.dependencies if environment.lockfile else [])
    }
    lines = [
        f"{known[name]} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for name, path in jars.items()
    ]
    LOCK.write_text("# Written by `make lock`.\n" + "\n".join(sorted(lines)) + "\n")


def _file_name(coordinate: str) -> str:
    _, artifact, version = coordinate.split(":")
    return f"{artifact}-{version}.jar"


def _build(progress: Progress) -> "list[Environment]":
    import requests  # only here: with KAFKA_BOOTSTRAP_SERVERS none of these is needed
    from jgo.env import EnvironmentBuilder
    from jgo.maven import MavenContext, PythonResolver

    # Not ~/.m2 and ~/.cache/jgo: other programs write there whenever they like.
    home = _resolver_home()
    context = MavenContext(
        resolver=PythonResolver(progress_callback=progress), repo_cache=home / "repository"
    )
    builder = EnvironmentBuilder(context=context, cache_dir=home / "environments")
    try:
        return [builder.from_endpoint(coordinate) for coordinate in (KAFKA, LOGGING)]
    except (requests.RequestException, RuntimeError, ParseError, ValueError, OSError) as failure:
        raise CannotStart(
            f"Kafka could not be downloaded from the Maven registry ({type(failure).__name__}).",
            remedy="Check the network (behind a proxy set HTTPS_PROXY) and run the command again; "
            "what has arrived is kept. Or set KAFKA_BOOTSTRAP_SERVERS to a server of yours.",
        ) from failure


def _forget(environments: "list[Environment]", names: list[str]) -> None:
    for name in names:
        for torn in _resolver_home().rglob(name):
            torn.unlink()
    for environment in environments:
        shutil.rmtree(environment.path, ignore_errors=True)


def _cache() -> Path:
    """The folder of this user's programs for what can be fetched again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tillstream"


def _resolver_home() -> Path:
    """What the resolver has fetched so far; nothing is left of it once the jars are verified."""
    return _cache() / "resolver"


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two programs filling the same cache, also of two checkouts, would tear each other's files."""
    cache = _cache()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "jars.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
