"""Fixtures of the system tests."""
import pytest

from droverd import Droverd, free_port


@pytest.fixture
def droverd():
    """A daemon on its own sockets and, as `port`, on TCP."""
    port = free_port()
    daemon = Droverd(f'listen_tcp = 1\nauth_tcp = "none"\nlisten_addr = "127.0.0.1"\ntcp_port = "{port}"\n'
                     "libvirt_sockets = 0\n")
    daemon.port = port
    yield daemon
    daemon.stop()
