"""Root lends the database server another user, because PostgreSQL refuses to run as root."""

import os
import pwd
import stat
from pathlib import Path

from deploy.local.child import User
from deploy.local.trouble import CannotStart

LENT_USER = "nobody"


def server_user(data_dir: Path) -> User | None:
    """The user that runs the server: None for the present user.

    Root lends the owner of the data, or the system's unprivileged user if root owns the data.
    Raises `CannotStart` when the data belongs to a user that we cannot become.
    """
    owner = data_dir.stat() if data_dir.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise CannotStart(
                f"{data_dir} belongs to another user.",
                remedy="Run the command as that user, or let root or that user `make reset`.",
            )
        return None
    if owner is not None and owner.st_uid != 0:
        return User(uid=owner.st_uid, gid=owner.st_gid)
    entry = pwd.getpwnam(LENT_USER)
    return User(uid=entry.pw_uid, gid=entry.pw_gid)


def make_reachable(path: Path, user: User | None) -> None:
    """Let `user` pass through the folders above `path`: search permission only, no listing."""
    if user is None:
        return
    for folder in path.absolute().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH and folder.stat().st_uid != user.uid:
            folder.chmod(mode | stat.S_IXOTH)


def make_readable(tree: Path, user: User | None) -> None:
    """Let `user` run the programs below `tree`, which a strict umask may have closed."""
    if user is None:
        return
    make_reachable(tree, user)
    if tree.stat().st_mode & stat.S_IROTH:
        return
    for path in [*tree.rglob("*"), tree]:
        mode = path.stat().st_mode
        # What the owner may read and run, others may read and run; writing is not theirs.
        path.chmod(mode | (mode & (stat.S_IRUSR | stat.S_IXUSR)) >> 6)
