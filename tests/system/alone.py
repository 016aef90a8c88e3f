"""A mortal daemon in a network namespace, so that its bridges and rules are not this machine's."""
import subprocess
import uuid

import procfs
from mortal import MortalDaemon


class AloneDaemon(MortalDaemon):
    def __init__(self):
        self.space = f"drover-{uuid.uuid4().hex[:8]}"
        subprocess.run(["ip", "netns", "add", self.space], check=True)
        self.inside("sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")  # it may come as this machine's is
        super().__init__()

    def around(self):
        return ["ip", "netns", "exec", self.space]

    def inside(self, *argv):
        done = subprocess.run([*self.around(), *argv], capture_output=True, text=True, check=False, timeout=120)
        return done.stdout

    def servers(self):
        """PIDs of every dnsmasq in there."""
        found = []
        for pid in self.inside("ip", "netns", "pids", self.space).split():
            if procfs.read(f"/proc/{pid}/comm").strip() == b"dnsmasq":
                found.append(int(pid))
        return found

    def stop(self):
        super().stop()
        subprocess.run(["ip", "netns", "delete", self.space], check=True)
