"""A Ray cluster of a process of its own, as those that people have."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

_OPTIONS = (
    "--head",
    "--node-ip-address=127.0.0.1",
    "--port=0",
    "--object-store-memory=268435456",
    "--include-dashboard=false",
)


@dataclass(frozen=True)
class RayCluster:
    """A cluster with some CPUs; `start` makes one.

    Attributes:
        address: for `[executor] address`.
    """

    process: "subprocess.Popen[str]"
    address: str

    @classmethod
    def start(cls, cpus: int = 4) -> "RayCluster":
        command = [str(Path(sys.executable).parent / "ray"), "start", *_OPTIONS]
        process = subprocess.Popen(
            [*command, f"--num-cpus={cpus}", "--block"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"},
        )
        if process.stdout is None:
            raise RuntimeError("no output to read the address from")
        for line in process.stdout:
            if "--address=" in line:
                return cls(process, line.partition("--address=")[2].split()[0].strip("'"))
        raise RuntimeError(f"ray start ended with {process.wait()}")

    def actors(self) -> list[psutil.Process]:
        """The processes of the executor's actors."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if "ray::Worker" in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:  # it has just ended
                continue
        return found

    def stop(self) -> None:
        """End it, and all that it has started."""
        started = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        self.process.wait(30)
        _, alive = psutil.wait_procs(started, timeout=10)
        for process in alive:
            process.kill()
