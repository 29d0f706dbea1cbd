"""One decoder in one process under libFuzzer: what `python -m tests.fuzz` starts for each.

    python -m tests.fuzz.engine NAME [libFuzzer's own arguments]

It stands apart because libFuzzer ends its process, and because the code under test has to be
imported through the hook that measures what each input reaches.
"""

import importlib
import shlex
import sys

MEASURED = ["sidecar", "yaml"]


def main(words: list[str]) -> None:
    """Never returns: libFuzzer exits."""
    # By name: it is installed for `make fuzz` alone.
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=MEASURED):
        targets = importlib.import_module("tests.fuzz.targets")
    target = targets.TARGETS[words[0]]
    for data in target.seeds():  # what is made on first use is made here, not while measuring
        target.check(data)
    # To merge, libFuzzer hands this to a shell and starts itself again.
    again = shlex.join([sys.executable, "-m", "tests.fuzz.engine", words[0]])
    atheris.Setup([again, *words[1:]], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
