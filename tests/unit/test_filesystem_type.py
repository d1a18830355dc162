"""Is a network file system told from a local one?"""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.effects.files import NETWORK_FILESYSTEMS, filesystem_type

MOUNTINFO = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /home rw,nosuid shared:12 - nfs4 server:/home rw,vers=4.2
31 30 0:27 / /home/me/local rw - xfs /dev/vdb rw
32 22 0:28 / /mnt/with\\040blank rw master:3 propagate_from:2 - cifs //nas/share rw
33 22 0:29 / /data rw - ext4 /dev/vdc rw
34 22 0:30 / /data rw - fuse.sshfs me@host: rw
35 22 0:31 / /win rw - 9p C: rw
a line that is no mount
"""


@pytest.mark.parametrize(
    ("path", "kind", "is_network"),
    [
        ("/var/lib", "ext4", False),
        ("/", "ext4", False),
        ("/home/me/queue", "nfs4", True),
        ("/home", "nfs4", True),
        ("/homestead", "ext4", False),
        ("/home/me/local/queue", "xfs", False),
        ("/mnt/with blank/queue", "cifs", True),
        ("/data/queue", "fuse.sshfs", True),
        ("/win/queue", "9p", False),
    ],
)
def test_the_deepest_and_last_mount_decides(path: str, kind: str, is_network: bool) -> None:
    assert filesystem_type(MOUNTINFO, Path(path)) == kind
    assert (kind in NETWORK_FILESYSTEMS) == is_network


def test_nothing_is_claimed_without_mounts() -> None:
    assert filesystem_type("", Path("/home")) is None
