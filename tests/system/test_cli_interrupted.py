"""^C while a guest's job runs ends the job, as with virsh, and the command tells how it ended (LIFE-24, LIFE-26). A half of a volume
is no file that stays."""
import contextlib
import signal
import socket
import struct
import subprocess
import threading

import pytest
from cli import DROVER, ENVIRONMENT
from frames import AUTH_LIST, CALL, ERROR, OK, REPLY, SUPPORTS_FEATURE, Answer, frame, string
from waiting import PATIENCE_S

LOOKUP_BY_NAME, SAVE, CORE_DUMP, MANAGED_SAVE, ABORT_JOB, VOL_LOOKUP_BY_KEY, VOL_DOWNLOAD = 23, 55, 53, 182, 164, 96, 209
GUEST = string("g") + bytes(range(16)) + struct.pack(">i", 1)
ABORTED = 78  # VIR_ERR_OPERATION_ABORTED
ANSWERS = {AUTH_LIST: struct.pack(">II", 1, 0), SUPPORTS_FEATURE: struct.pack(">i", 0), LOOKUP_BY_NAME: GUEST,
           VOL_LOOKUP_BY_KEY: string("p") + string("v") + string("/v")}
NULL = struct.pack(">I", 0)
FAILURE = (struct.pack(">iiI", ABORTED, 10, 1) + string("save canceled by client") + struct.pack(">i", 2) + NULL * 4 + struct.pack(">ii", 0, 0)
           + NULL)


class Stalled(threading.Thread):
    """A daemon whose jobs end only when somebody aborts them."""

    def __init__(self, path):
        super().__init__()
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()
        self.begun, self.asked = threading.Event(), []

    def run(self):
        self.listening.settimeout(PATIENCE_S)
        client, _ = self.listening.accept()
        with contextlib.suppress(ConnectionError):  # who is killed has not read all
            self.serve(client)
        client.close()
        self.listening.close()

    def serve(self, client):
        stream = client.makefile("rb")
        job = None
        while head := stream.read(4):
            call = Answer(stream.read(struct.unpack(">I", head)[0] - 4))
            if call.kind != CALL:
                continue
            self.asked.append(call.proc)
            if call.proc in (SAVE, CORE_DUMP, MANAGED_SAVE):
                job = call
                self.begun.set()
                continue
            client.sendall(frame(call.proc, ANSWERS.get(call.proc, b""), kind=REPLY, serial=call.serial, status=OK))
            if call.proc == VOL_DOWNLOAD:
                self.begun.set()
            if call.proc == ABORT_JOB and job:
                client.sendall(frame(job.proc, FAILURE, kind=REPLY, serial=job.serial, status=ERROR))


@pytest.mark.parametrize("command, complaint", [
    (["save", "g", "/nowhere/f"], "Failed to save domain 'g' to /nowhere/f"),
    (["managedsave", "g", "--verbose"], "Failed to save domain 'g' state"),
    (["dump", "g", "/nowhere/f"], "Failed to core dump domain 'g' to /nowhere/f")])
def test_interrupting_a_job_ends_it(tmp_path, command, complaint):
    daemon = Stalled(tmp_path / "s")
    daemon.start()
    with subprocess.Popen([DROVER, "-k", "0", "-c", f"test+unix:///default?socket={tmp_path}/s", *command], env=ENVIRONMENT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert daemon.begun.wait(PATIENCE_S), process
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    daemon.join(PATIENCE_S)
    assert process.returncode == 1 and out == "\n" and daemon.asked.count(ABORT_JOB) == 1
    assert f"error: {complaint}\nerror: operation aborted: save canceled by client\n" in err
    assert ("Managedsave: [  0 %]" in err) == ("--verbose" in command)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_download_leaves_no_file_but_one_that_was_there(tmp_path, signum):
    for there in (False, True):
        daemon = Stalled(tmp_path / f"s{there}")
        daemon.start()
        if there:
            (tmp_path / "to").write_text("before")
        with subprocess.Popen([DROVER, "-k", "0", "-c", f"test+unix:///default?socket={tmp_path}/s{there}", "vol-download", "/v",
                               tmp_path / "to"], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert daemon.begun.wait(PATIENCE_S), process
            process.send_signal(signum)
            process.communicate(timeout=PATIENCE_S)
        daemon.join(PATIENCE_S)
        assert process.returncode == -signum and (tmp_path / "to").exists() == there
