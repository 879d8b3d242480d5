"""On what kind of disk a folder lies: on one of this machine, or on one that other machines write too."""

import re
from pathlib import Path

from medmm.files import sweep

MOUNTS = Path("/proc/mounts")

SHARED = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "virtiofs",
        "wekafs",
    }
)
"""Kinds of file systems whose locks and shared memory do not hold, or not surely, between machines; so are all of `fuse`."""

LOCAL_FUSE = frozenset({"fuseblk", "fuse.fuse-overlayfs"})

ESCAPE = re.compile(r"\\([0-7]{3})")


IDLE_SECONDS = 86400.0
"""After which an unfinished file on a shared disk is a killed process's, on whatever machine that ran."""


def sweep_killed(folder: Path) -> None:
    """Remove what killed processes were writing into a folder."""
    sweep(folder, IDLE_SECONDS if is_shared(folder) else 0.0)


def is_shared(folder: Path, mounts: Path = MOUNTS) -> bool:
    """Tell whether a folder, which need not be there yet, lies on a network file system.

    Args:
        folder: The folder.
        mounts: The table of mounts (proc_pid_mounts(5)); where there is none, every disk counts as local.
    """
    try:
        table = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    place = folder.resolve()
    kind, depth = "", -1
    for line in table:
        _, point, type_, *_ = line.split(" ")
        mounted = Path(ESCAPE.sub(lambda found: chr(int(found[1], 8)), point))
        if place.is_relative_to(mounted) and len(mounted.parts) >= depth:  # of two on one point the later one counts
            kind, depth = type_, len(mounted.parts)
    return kind in SHARED or (kind.startswith("fuse") and kind not in LOCAL_FUSE)
