"""Digests of files and folders: the same as coreutils print, and none of what is no plain file."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import sidecar
from sidecar.sync import digest
from sidecar.sync.digest import ALONE, SLICE_BYTES, Tree, UnreadableError, read, stamp, whole

SUMMED = "LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum"
MANIFEST = f"find -L . -type f -printf '%P\\n' | {SUMMED}"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def measured(tree: Tree) -> str:
    return whole(
        {name: read(tree.path(name), found, lambda _: None) for name, found in tree.look().items()}
    )


def shell(command: str, folder: Path) -> str:
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, check=True)
    return done.stdout.decode().split()[0]


def append(path: Path, body: bytes) -> None:
    with path.open("ab") as file:
        file.write(body)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files at two depths, with names that sort in another order by any language."""
    for name in ("b", "a/z", "a.b", "A", "a/ä ö", ".hidden", "a/empty"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name.endswith("empty") else name.encode() * 1000)
    return tmp_path / "tree"


@pytest.mark.parametrize("size", [0, 1, SLICE_BYTES - 1, SLICE_BYTES, 2 * SLICE_BYTES + 1])
def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(size))
    slices: list[int] = []
    assert read(path, stamp(path), slices.append) == sha256(path.read_bytes())
    assert sum(slices) == size
    assert measured(Tree(path)) == sha256(path.read_bytes())


def test_a_folder_has_the_digest_that_coreutils_compute(folder: Path) -> None:
    assert measured(Tree(folder)) == shell(MANIFEST, folder)


def test_neither_place_nor_dates_change_the_digest_of_a_folder(
    folder: Path, tmp_path: Path
) -> None:
    before = measured(Tree(folder))
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    os.utime(copy / "b", (1, 1))
    (copy / "nothing in it").mkdir()
    assert measured(Tree(copy)) == before


@pytest.mark.parametrize("change", ["content", "name", "new", "gone"])
def test_each_change_of_a_folder_changes_its_digest(folder: Path, change: str) -> None:
    before = measured(Tree(folder))
    match change:
        case "content":
            body = (folder / "b").read_bytes()
            (folder / "b").write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
        case "name":
            (folder / "b").rename(folder / "c")
        case "new":
            (folder / "a" / "new").touch()
        case _:
            (folder / "a" / "empty").unlink()
    assert measured(Tree(folder)) != before


def test_files_behind_links_count_as_files(folder: Path, tmp_path: Path) -> None:
    """As model caches keep them: names in one folder, contents in another."""
    (tmp_path / "blob").write_bytes(b"b" * 1000)
    (folder / "b").unlink()
    before = measured(Tree(tmp_path / "tree"))
    (folder / "b").symlink_to("../blob")
    assert measured(Tree(folder)) == shell(MANIFEST, folder) != before
    (tmp_path / "link").symlink_to("blob")
    assert measured(Tree(tmp_path / "link")) == sha256(b"b" * 1000)


@pytest.mark.parametrize(
    "what", ["fifo", "device", "loop", "broken", "folder", "line break", "backslash"]
)
def test_what_is_no_plain_file_makes_a_folder_unreadable(folder: Path, what: str) -> None:
    match what:
        case "fifo":
            os.mkfifo(folder / "x")
        case "device":
            (folder / "x").symlink_to("/dev/zero")
        case "loop":
            (folder / "x").symlink_to("x")
        case "broken":
            (folder / "x").symlink_to("nowhere")
        case "folder":
            (folder / "x").symlink_to("a")
        case "line break":
            (folder / "x\ny").touch()
        case _:
            (folder / "x\\y").touch()
    with pytest.raises((UnreadableError, OSError)):
        Tree(folder).look()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: Path(path).symlink_to("/dev/zero")])
def test_a_pipe_or_device_in_the_place_of_a_file_is_not_waited_for(
    tmp_path: Path, make: object
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"1")
    before = stamp(path)
    path.unlink()
    make(path)  # type: ignore[operator]
    with pytest.raises(UnreadableError, match="is no plain file"):
        read(path, before, lambda _: None)
    with pytest.raises(UnreadableError, match="is no plain file"):
        Tree(path).look()


def test_a_file_that_tells_no_size_is_not_read_for_ever() -> None:
    path = Path("/proc/self/mounts")
    with pytest.raises(UnreadableError, match="changed while it was read"):
        read(path, stamp(path), lambda _: None)


@pytest.mark.parametrize("change", ["grows", "shrinks", "other bytes", "other file", "gone"])
def test_what_changes_while_it_is_read_has_no_digest(tmp_path: Path, change: str) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"0" * 3 * SLICE_BYTES)
    before, done = stamp(path), 0

    def meddle(count: int) -> None:
        nonlocal done
        done += count
        match change:
            case "grows":
                append(path, b"0" * 2 * SLICE_BYTES)  # faster than it is read
            case "shrinks":
                os.truncate(path, SLICE_BYTES)
            case "other bytes":
                while stamp(path) == before:  # until the clock of the file system has ticked
                    with path.open("r+b") as file:
                        file.write(b"1")
            case "other file" if done == count:
                (tmp_path / "new").write_bytes(b"1" * 3 * SLICE_BYTES)
                (tmp_path / "new").rename(path)
            case _ if change == "gone":
                path.unlink(missing_ok=True)
            case _:
                pass

    with pytest.raises((UnreadableError, FileNotFoundError)):
        read(path, before, meddle)
    assert done <= 3 * SLICE_BYTES


def test_what_changed_since_it_was_seen_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"1")
    before = stamp(path)
    append(path, b"2")
    with pytest.raises(UnreadableError, match="changed before"):
        read(path, before, lambda _: pytest.fail("it was read"))


def test_a_link_that_leads_elsewhere_by_now_has_no_digest(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode())
    link = tmp_path / "weights"
    link.symlink_to("one")

    def swap(_: int) -> None:
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").rename(link)

    with pytest.raises(UnreadableError, match="changed while it was read"):
        read(link, stamp(link), swap)


def test_a_folder_of_too_many_files_is_unreadable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "FILES_MAX", 3)
    with pytest.raises(UnreadableError, match="more than 3"):
        Tree(folder).look()


def test_the_code_is_every_module_of_the_installed_package_and_nothing_else() -> None:
    package = Path(sidecar.__file__).parent
    wanted = "find . \\( -name '*.py' -o -name '*.so' \\) -type f -printf '%P\\n'"
    expected = shell(f"{wanted} | {SUMMED}", package)
    found = {name: seen for name, seen in digest.code().look().items() if name[:3] != "../"}
    assert "core/gate.py" in found
    digests = {name: read(package / name, seen, lambda _: None) for name, seen in found.items()}
    assert whole(digests) == expected


def test_the_library_of_a_compiled_build_counts_and_those_of_others_do_not(tmp_path: Path) -> None:
    package = tmp_path / "sidecar"
    package.mkdir()
    (package / "gate.cpython-311.so").write_bytes(b"\x7fELF ... 0123456789abcdef__mypyc ...")
    (package / "gate.py").touch()
    (package / "gate.pyc").touch()
    for name in ("0123456789abcdef__mypyc.cpython-311.so", "feed__mypyc.cpython-311.so"):
        (tmp_path / name).write_bytes(name.encode())
    tree = digest.code(package)
    ours = "../0123456789abcdef__mypyc.cpython-311.so"
    assert set(tree.look()) == {"gate.cpython-311.so", "gate.py", ours}
    before = measured(tree)
    append(tree.path(ours), b".")
    assert measured(tree) != before
    (tmp_path / "x").mkdir()
    (package / "hidden").symlink_to("../x")
    with pytest.raises(UnreadableError, match="hidden"):
        tree.look()


def test_a_file_alone_and_a_folder_with_that_file_differ(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(b"1")
    assert Tree(tmp_path / "tree" / "a").look().keys() == {ALONE}
    assert measured(Tree(tmp_path / "tree" / "a")) != measured(Tree(tmp_path / "tree"))
