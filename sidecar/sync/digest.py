r"""Digests of files and folders, so that anybody can compute the same ones.

* A file: SHA-256 of its bytes, as `sha256sum FILE` prints it.
* A folder: SHA-256 of its manifest, one line `<digest>  <path>` for each file in it, by the bytes
  of the path:

      find -L . -type f -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum

* The sidecar's own code: likewise, of the `*.py` and `*.so` files of the installed package
  `sidecar` alone. A compiled build has one library beside the package, which these load; it counts
  as `../<its name>`. So neither place, dates, owners nor `__pycache__` change the digest.

Rules:

* Only what is a plain file at the end of its links is opened, so that nothing waits for a pipe and
  no device is touched. Anything else in a folder makes the whole unreadable, and so do a link to a
  folder (which could lead back) and a name with a line break or a backslash (which a manifest
  could not show as it is).
* What changes while it is read has no digest: size, dates and identity have to be the same before
  and after, and the name has to lead to the same file still.
* A file is read slice by slice; whoever asked decides how fast, and whether to go on.

Source: protocol b.1 (runtime), b.8 item 4.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import sidecar

SLICE_BYTES = 1024 * 1024
FILES_MAX = 10_000  # in one folder; looking at more would take noticeable time every few seconds
CODE = (".py", ".so")
INSTALLED = Path(sidecar.__file__).parent
ALONE = ""  # relative path of a file that is measured by itself
_NOTHING_ELSE = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class UnreadableError(Exception):
    """Something has no digest; the message says why, for people."""


class Stamp(NamedTuple):
    """What changes when a file changes; `ctime_ns` cannot be set back by whoever may write it."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


def stamp(path: Path | int) -> Stamp:
    """The stamp of a plain file, by name or descriptor.

    Raises:
        UnreadableError: it is none.
        OSError: it cannot be looked at.
    """
    found = os.stat(path)  # noqa: PTH116, Path.stat() takes no descriptor
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableError("is no plain file")
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Tree:
    """A file, or a folder with everything in it.

    Attributes:
        root: The file or the folder.
        endings: Of the names that count, in a folder; none: all count.
        beside: Names of files beside the folder that count, too.
    """

    root: Path
    endings: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    def look(self) -> dict[str, Stamp]:
        """Relative path -> stamp, of every file that counts.

        Raises:
            UnreadableError, OSError: something in it cannot be a part of a digest.
        """
        if not self.root.is_dir():
            return {ALONE: stamp(self.root)}
        found = dict(self._inside(self.root, ""))
        return found | {f"../{name}": stamp(self.root.parent / name) for name in self.beside}

    def path(self, relative: str) -> Path:
        """Where a file of it is."""
        return self.root / relative if relative != ALONE else self.root

    def _inside(self, folder: Path, prefix: str) -> Iterator[tuple[str, Stamp]]:
        pending = [(folder, prefix)]
        count = 0
        while pending:
            folder, prefix = pending.pop()
            with os.scandir(folder) as entries:
                for entry in entries:
                    relative = f"{prefix}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((folder / entry.name, f"{relative}/"))
                    elif self._counts(entry):
                        count += 1
                        yield relative, _member(folder / entry.name, relative, count)

    def _counts(self, entry: "os.DirEntry[str]") -> bool:
        # A link to a folder counts, and fails: modules could be imported through it.
        return entry.name.endswith(self.endings or "") or entry.is_dir()


def _member(path: Path, relative: str, count: int) -> Stamp:
    if count > FILES_MAX:
        raise UnreadableError(f"holds more than {FILES_MAX} files")
    if "\n" in relative or "\r" in relative or "\\" in relative:
        raise UnreadableError(f"{relative!r}: a name with a line break or a backslash")
    try:
        return stamp(path)
    except UnreadableError as error:
        raise UnreadableError(f"{relative}: {error}") from None


def read(path: Path, before: Stamp, went_on: Callable[[int], None]) -> str:
    """The digest of one file.

    Args:
        path: The file.
        before: As it was when it was decided to read it.
        went_on: Told after each slice how many bytes it had; may take its time, or raise.

    Raises:
        UnreadableError: it is not, or not any more, as it was.
        OSError: it cannot be read.
    """
    if stamp(path) != before:  # before it is opened: opening a device can have effects
        raise UnreadableError("changed before it was read")
    found, left = hashlib.sha256(), before.size
    buffer = memoryview(bytearray(min(SLICE_BYTES, before.size + 1)))
    descriptor = os.open(path, os.O_RDONLY | _NOTHING_ELSE)
    try:
        while count := os.readv(descriptor, [buffer]):
            left -= count
            # At each slice: of hundreds of gigabytes none is read for nothing, and a file that
            # grows as fast as it is read comes to an end.
            if left < 0 or stamp(descriptor) != before:
                raise UnreadableError("changed while it was read")
            found.update(buffer[:count])
            went_on(count)
        if left or stamp(descriptor) != before or stamp(path) != before:
            raise UnreadableError("changed while it was read")
    finally:
        os.close(descriptor)
    return found.hexdigest()


def whole(digests: Mapping[str, str]) -> str:
    """The digest of a tree.

    Args:
        digests: Relative path -> digest, of every file that counts.
    """
    if ALONE in digests:
        return digests[ALONE]
    lines = sorted((os.fsencode(path), sha256) for path, sha256 in digests.items())
    manifest = hashlib.sha256()
    for path, sha256 in lines:
        manifest.update(sha256.encode() + b"  " + path + b"\n")
    return manifest.hexdigest()


def code(package: Path = INSTALLED) -> Tree:
    """The sidecar's own installed code, or a package that stands for it."""
    return Tree(package, CODE, tuple(sorted(_libraries(package))))


def _libraries(package: Path) -> Iterable[str]:
    """What the compiled modules of a package load from beside it (mypyc calls it <id>__mypyc)."""
    near = {path.name for path in package.parent.glob("*__mypyc.*.so")}
    if not near:
        return
    bodies = [path.read_bytes() for path in package.rglob("*.so")]
    for name in near:
        module = name.partition(".")[0].encode()
        if any(module in body for body in bodies):
            yield name
