"""Load from wrk: closed loop, over keep-alive connections, the request of workload 1."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks import request

WRK = "wrk"

# wrk reports latencies in microseconds.
SCRIPT = """\
wrk.method = "POST"
wrk.body = [==[{body}]==]
{headers}
done = function(summary, latency, requests)
  local failed = summary.errors
  local file = io.open([==[{report}]==], "w")
  file:write(string.format(
    '{{"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"status":%d,"broken":%d}}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    failed.status, failed.connect + failed.read + failed.write + failed.timeout))
  file:close()
end
"""


class LoadError(Exception):
    """The load could not be made, or not every answer was what it should be."""


@dataclass(frozen=True, slots=True)
class Served:
    """What wrk saw.

    Attributes:
        requests: Answered with status 200.
        rate: Per second.
        p50_us: Median latency; microseconds.
        p99_us: 99th percentile.
    """

    requests: int
    rate: float
    p50_us: int
    p99_us: int


class Load:
    """wrk with one thread.

    Args:
        folder: For its script and report.
    """

    def __init__(self, folder: Path) -> None:
        self._script = folder / "load.lua"
        self._report = folder / "load.json"
        # wrk computes the length itself, and would send ours as a second one.
        headers = {
            name: value for name, value in request.HEADERS.items() if name != "Content-Length"
        }
        lines = [
            f"wrk.headers[{json.dumps(name)}] = {json.dumps(headers[name])}" for name in headers
        ]
        self._script.write_text(
            SCRIPT.format(
                body=request.body().decode(), headers="\n".join(lines), report=self._report
            )
        )

    def run(self, port: int, connections: int, seconds: int) -> Served:
        """Send requests as fast as they are answered.

        Raises:
            LoadError: an answer was not 200, or a connection broke.
        """
        self._report.unlink(missing_ok=True)
        command = [
            WRK, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s",
            "--timeout", "5s", "--script", str(self._script),
            f"http://{request.HOST}:{port}{request.PATH}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not self._report.exists():
            raise LoadError(f"wrk: {done.stderr.strip() or done.stdout.strip()}")
        found = json.loads(self._report.read_text())
        if found["status"] or found["broken"] or not found["requests"]:
            raise LoadError(f"wrk: not every answer was 200: {found}")
        return Served(
            found["requests"], found["requests"] / found["us"] * 1e6, found["p50_us"],
            found["p99_us"],
        )  # fmt: skip


def installed() -> bool:
    """Whether wrk is there."""
    return shutil.which(WRK) is not None


def version() -> str:
    """Its version."""
    said = subprocess.run([WRK, "-v"], capture_output=True, text=True, check=False).stdout
    return said.partition(" ")[2].partition(" ")[0]
