"""A Slurm cluster of one node on this machine: munge, its controller and its node daemon, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOST = socket.gethostname()
"""The name of the node, which Ray resolves."""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol")

EPILOG = """#!/bin/bash
[ -n "$1" ] || exec env -i PATH="$PATH" "$0" "$SLURM_JOB_ID"
grep -lsz "^SLURM_JOB_ID=$1$" /proc/[0-9]*/environ | cut -d/ -f3 | xargs -r kill -9
exit 0
"""
"""Ends what a job left behind, as control groups do on a cluster; without the job's variables, not to end itself."""


def missing_programs() -> list[str]:
    """Programs of Slurm that are not on this machine."""
    return [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]


@dataclass
class Slurm:
    """A running cluster."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": f"{os.environ['PATH']}:/usr/sbin"}

    def call(self, *command: str, cwd: Path | None = None) -> str:
        done = subprocess.run(command, env=self.environment, cwd=cwd, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def submit(self, script: Path, *command: str, cwd: Path, options: Sequence[str] = ()) -> int:
        return int(self.call("sbatch", "--parsable", *options, str(script), *command, cwd=cwd).split(";")[0])

    def state(self, job: int) -> str:
        shown = self.call("scontrol", "show", "job", str(job))
        return next(word.partition("=")[2] for word in shown.split() if word.startswith("JobState="))

    def wait(self, job: int, seconds: float = 300.0) -> str:
        end = time.monotonic() + seconds
        while (state := self.state(job)) in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING"):
            assert time.monotonic() < end, f"job {job} is still {state}"
            time.sleep(0.2)
        return state


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


@contextmanager
def running_slurm(folder: Path) -> Iterator[Slurm]:
    """Start the three daemons as root, wait until the node is idle, and end them afterwards."""
    slurm = Slurm(folder)
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(parents=True)
        (folder / name).chmod(0o755)
    key = folder / "munge/key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    (folder / "slurm.conf").write_text(_configuration(folder))
    (folder / "epilog").write_text(EPILOG)
    (folder / "epilog").chmod(0o755)
    munge = folder / "munge"
    daemons = [
        ["munged", "--foreground", "--force", f"--socket={munge}/socket", f"--key-file={key}", "--num-threads=1",
         f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed"],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D", "-c", "-N", HOST],
    ]  # fmt: skip
    started: list[subprocess.Popen[bytes]] = []
    with (folder / "daemons.log").open("ab") as log:
        try:
            for command in daemons:
                started.append(subprocess.Popen(command, env=slurm.environment, stdout=log, stderr=log))
                time.sleep(1.0)
            _wait_until_idle(slurm)
            yield slurm
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                process.wait(20)


def _wait_until_idle(slurm: Slurm) -> None:
    end = time.monotonic() + 60
    while (
        "State=IDLE"
        not in subprocess.run(
            ["scontrol", "show", "node"], env=slurm.environment, capture_output=True, text=True, check=False
        ).stdout
    ):
        assert time.monotonic() < end, (slurm.folder / "daemons.log").read_text()[-3000:]
        time.sleep(0.5)


def _configuration(folder: Path) -> str:
    controller, node = free_ports(2)
    return f"""
ClusterName=test
SlurmctldHost={HOST}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
Epilog={folder}/epilog
KillWait=1
MinJobAge=3600
NodeName={HOST} NodeAddr=127.0.0.1 Port={node} CPUs={os.cpu_count()} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
