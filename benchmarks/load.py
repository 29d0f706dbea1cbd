"""Load from wrk: closed loop, the request of workload 1, over kept or over new connections."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks import figures, request

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
    '{{"requests":%d,"us":%d,"status":%d,"broken":%d,"latency":{{',
    summary.requests, summary.duration, failed.status,
    failed.connect + failed.read + failed.write + failed.timeout))
  for number, percent in ipairs({{{percents}}}) do
    file:write(string.format('%s"%g":%d', number > 1 and "," or "", percent,
      latency:percentile(percent)))
  end
  file:write("}}}}")
  file:close()
end
"""


class LoadError(Exception):
    """The load could not be made, or not every answer was what it should be."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a load saw.

    Attributes:
        count: Requests answered with status 200, or whatever else was served.
        figures: Rate, latency and what else belongs to this load.
        requests: When `count` counts something else.
    """

    count: int
    figures: dict[str, float]
    requests: int = 0


class Load:
    """wrk with one thread.

    Args:
        folder: For its script and report.
        keep: Whether a connection serves more than one request.
    """

    def __init__(self, folder: Path, *, keep: bool = True) -> None:
        self._script = folder / f"load-{keep}.lua"
        self._report = folder / "load.json"
        # wrk computes the length itself, and would send ours as a second one.
        headers = {
            name: value for name, value in request.HEADERS.items() if name != "Content-Length"
        }
        if not keep:
            headers["Connection"] = "close"
        lines = [
            f"wrk.headers[{json.dumps(name)}] = {json.dumps(headers[name])}" for name in headers
        ]
        self._script.write_text(
            SCRIPT.format(
                body=request.body().decode(), headers="\n".join(lines), report=self._report,
                percents=", ".join(f"{percent:g}" for percent in figures.PERCENTS),
            )
        )  # fmt: skip

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
        latency = {
            figures.name_of(percent): found["latency"][f"{percent:g}"]
            for percent in figures.PERCENTS
        }
        rate = found["requests"] / found["us"] * 1e6
        return Served(found["requests"], {"per second": rate, **latency})


def installed() -> bool:
    """Whether wrk is there."""
    return shutil.which(WRK) is not None


def version() -> str:
    """Its version."""
    said = subprocess.run([WRK, "-v"], capture_output=True, text=True, check=False).stdout
    return said.partition(" ")[2].partition(" ")[0]
