"""Fuzzing that is guided by coverage, one decoder after the other: `make fuzz`.

    python -m tests.fuzz [--seconds N] [--keep] [NAME ...]    all decoders, 60 s each
    python -m tests.fuzz replay NAME FILE                     one input again, in plain Python
    python -m tests.fuzz add NAME FILE                        keep one input for `make test`

What was found is in `.fuzz/NAME`; `--keep` makes the smallest set that reaches as much and writes
it to `tests/fuzz/corpus`.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import corpus
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".fuzz"
KEPT_MAX_BYTES = 20 * 1024  # of one decoder, as it is written
SECONDS = 60
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # for small files, written often
SLOW_S = 20  # one input that takes longer is a finding
EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
ARTIFACT = re.compile(r"Test unit written to (\S+)")


@dataclass(frozen=True, slots=True)
class Result:
    """What one decoder's run came to."""

    name: str
    executions: int
    seconds: float
    found: int
    crash: Path | None


def main(words: list[str]) -> int:
    """Exit code 0 when everything held, 1 when not, 64 on wrong usage."""
    if words[:1] in (["replay"], ["add"]) and len(words) == 3 and words[1] in TARGETS:
        data = Path(words[2]).read_bytes()
        if words[0] == "add":
            corpus.store(words[1], [*corpus.load(words[1]), data])
        TARGETS[words[1]].check(data)
        say("holds")
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TARGETS))
    said = parser.parse_args(words)
    names = [name for name in said.names if name != "all"] or list(TARGETS)
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        say(f"error: no target {unknown[0]}; there are {', '.join(TARGETS)}")
        return 64
    results = []
    for number, name in enumerate(names, start=1):
        say(f"[{number}/{len(names)}] {name}, {said.seconds} s")
        results.append(_fuzz(name, said.seconds, keep=said.keep))
    _table(results)
    return int(any(result.crash is not None for result in results))


def _fuzz(name: str, seconds: int, *, keep: bool) -> Result:
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    known = {path.name for path in folder.iterdir()}
    for data in [*TARGETS[name].seeds(), *corpus.load(name)]:
        path = folder / hashlib.sha256(data).hexdigest()[:40]
        path.write_bytes(data)
        known.add(path.name)
    began = time.perf_counter()
    log = _engine(name, [*_options(name, seconds), str(folder)])
    spent = time.perf_counter() - began
    executed = EXECUTED.search(log)
    artifact = ARTIFACT.search(log)
    crash = Path(artifact[1]) if artifact else None
    new = len({path.name for path in folder.iterdir()} - known)
    if executed is None and crash is None:
        sys.stderr.write(log)
        sys.exit(f"error: the fuzzer did not run for {name}")
    if crash is not None:
        sys.stderr.write(_trace(log))
        say(f"  DOES NOT HOLD: python -m tests.fuzz replay {name} {crash}")
    if keep and crash is None:
        _keep(name, folder)
    return Result(name, int(executed[1]) if executed else 0, spent, new, crash)


def _options(name: str, seconds: int) -> list[str]:
    words = FOLDER / f"{name}.words"
    lines = ("".join(f"\\x{byte:02x}" for byte in word) for word in TARGETS[name].words)
    words.write_text("".join(f'"{line}"\n' for line in lines), "ascii")
    return [
        f"-max_total_time={seconds}", f"-max_len={TARGETS[name].max_bytes}", f"-dict={words}",
        f"-timeout={SLOW_S}", "-rss_limit_mb=2048", "-print_final_stats=1",
        f"-artifact_prefix={FOLDER}/{name}-",
    ]  # fmt: skip


def _engine(name: str, options: list[str]) -> str:
    """Run to the end, showing one line of progress; returns all that was written."""
    command = [sys.executable, "-m", "tests.fuzz.engine", name, *options]
    lines = []
    # libFuzzer ends its process without a word, so what a decoder left in files ends here.
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", env={**os.environ, "PYTHONHASHSEED": "0", "TMPDIR": folder},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if line.startswith("#") and sys.stderr.isatty():
                sys.stderr.write(f"\r\x1b[2K  {line.strip()[:90]}")
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[2K")
    return "".join(lines)


def _trace(log: str) -> str:
    """The part of the log that says what went wrong."""
    start = max(log.find("=== Uncaught Python exception"), 0)
    return log[start : start + 4000]


def _keep(name: str, folder: Path) -> None:
    merged = FOLDER / f"{name}.merged"
    merged.mkdir(exist_ok=True)
    for path in merged.iterdir():
        path.unlink()
    _engine(name, ["-merge=1", f"-max_len={TARGETS[name].max_bytes}", str(merged), str(folder)])
    kept, size = [], 0
    seeds = TARGETS[name].seeds()
    for data in sorted((path.read_bytes() for path in merged.iterdir()), key=len):
        size += len(corpus.written(data)) + 1
        if size > KEPT_MAX_BYTES:
            break
        if data not in seeds:
            kept.append(data)
    corpus.store(name, kept)
    say(f"  kept {len(kept)} of {sum(1 for _ in merged.iterdir())} inputs")


def _table(results: list[Result]) -> None:
    say(f"\n{'target':<12}{'executions':>12}{'seconds':>9}{'new inputs':>12}{'crashes':>9}")
    for item in results:
        crashes = int(item.crash is not None)
        say(
            f"{item.name:<12}{item.executions:>12,}{item.seconds:>9.0f}{item.found:>12}{crashes:>9}"
        )
    executions = sum(item.executions for item in results)
    seconds = sum(item.seconds for item in results)
    found = sum(item.found for item in results)
    crashes = sum(item.crash is not None for item in results)
    say(f"{'all':<12}{executions:>12,}{seconds:>9.0f}{found:>12}{crashes:>9}")


def say(line: str) -> None:
    """One line for the person at the terminal."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
