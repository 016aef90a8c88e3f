"""Storage that never answers: a file system whose every question goes to this process, which answers none.

Only the daemon under test sees it, in a mount namespace of its own: whoever else looks at all that is mounted here would
hang, too.
"""
import os
import subprocess

import pytest
from live import LiveDaemon


class LonelyDaemon(LiveDaemon):
    def around(self):
        return ("unshare", "--mount", "--propagation", "private")


class HungStorage:
    def __init__(self, daemon, place):
        self.place = place
        try:
            self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        except OSError as why:
            pytest.skip(f"/dev/fuse: {why}")
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other"
        subprocess.run(["nsenter", "--target", str(daemon.process.pid), "--mount", "mount", "-i", "-t", "fuse", "-o", options,
                        "hung", place], pass_fds=[self.fd], check=True)

    def close(self):
        """Everybody who still waits is told that it is gone; it is unmounted with the daemon's end."""
        os.close(self.fd)
