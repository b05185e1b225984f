"""A directory: a mounted disk or a network file system."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from ops.errors import (
    ObjectMissing,
    PreconditionFailed,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreUnreachable,
)
from ops.storage import Directory
from ops.stores.base import Entry, Source, Store, checked

CHUNK = 2**20
SMALL = 2**20
PATIENCE = 30.0  # seconds to wait for another process's replacing

_HINTS = {
    errno.ENOSPC: "Make room, or let retention keep fewer backups",
    errno.EDQUOT: "Raise the quota, or let retention keep fewer backups",
    errno.EFBIG: "Raise the limit on the size of files",
    errno.EROFS: "Mount it for writing",
    errno.EACCES: "Give this user the right to read and write there",
    errno.EPERM: "Give this user the right to read and write there",
    errno.ENOLCK: "Mount it with locks, such as NFS 4",
    errno.EIO: "Look at the disk and at the kernel's log",
}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_UNREACHABLE = {errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN}


class DirectoryStore(Store):
    """Backups as files. A file is written under a hidden name and appears under its own by an atomic rename or link.

    Args:
        description: which directory.
    """

    def __init__(self, description: Directory) -> None:
        self._root = Path(description.path)
        self.location = description.location

    def put(self, key: str, source: Source, size_hint: int = 0) -> int:
        path = self._path(key)
        size = 0
        with self._temporary(path) as (temporary, descriptor), memoryview(bytearray(CHUNK)) as buffer:
            while got := source.readinto(buffer):
                with self._said(path):
                    _write(descriptor, buffer[:got])
                size += got
            with self._said(path):
                os.fsync(descriptor)
                temporary.rename(path)
                _sync(path.parent)
        return size

    def put_if_absent(self, key: str, content: bytes) -> str:
        path = self._path(key)
        with self._written(path, content) as (temporary, etag), self._said(path):
            try:
                path.hardlink_to(temporary)
            except FileExistsError:
                raise PreconditionFailed(f"there is {path} already", "Somebody else wrote it: look again") from None
            _sync(path.parent)
        return etag

    def replace(self, key: str, content: bytes, etag: str) -> str:
        path = self._path(key)
        with self._alone(), self._said(path):
            if self._current(path) != etag:
                raise PreconditionFailed(f"{path} is not what it was", "Somebody else wrote it: look again")
            return self._overwrite(path, content)

    def write(self, key: str, content: bytes) -> str:
        with self._alone():
            return self._overwrite(self._path(key), content)

    def read(self, key: str, limit: int = 64 * 2**20) -> tuple[bytes, str]:
        path = self._path(key)
        with self._present(path), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise StoreError(f"{path} has {size} bytes, more than the {limit} expected", "Look at who wrote it")
            return file.read(), _etag(file.fileno())

    def get(self, key: str, sink: Callable[[bytes], object], start: int = 0, length: int | None = None) -> int:
        path = self._path(key)
        with self._present(path):
            descriptor = _open(path)
        try:
            handed = 0
            while length is None or handed < length:
                with self._present(path):
                    chunk = os.pread(
                        descriptor, CHUNK if length is None else min(CHUNK, length - handed), start + handed
                    )
                if not chunk:
                    break
                sink(chunk)
                handed += len(chunk)
            return handed
        finally:
            os.close(descriptor)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        with self._said(self._root):
            if not self._exists():
                return
            now = self._now()
            for key in self._keys("", prefix):
                with suppress(FileNotFoundError):  # it was removed meanwhile
                    yield self._entry(key, now)

    def head(self, key: str) -> Entry:
        path = self._path(key)
        with self._present(path):
            return self._entry(key, self._now())

    def delete(self, keys: Iterable[str]) -> None:
        for path in [self._path(key) for key in keys]:
            with self._said(path):
                if not self._exists():
                    return
                # Otherwise a key could go and come back between the look and the rename of a ``replace``.
                with self._alone():
                    try:
                        path.unlink()
                    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                        continue
                    _sync(path.parent)
                self._remove_empty(path.parent)

    def abort_uploads(self, prefix: str) -> int:
        """Only of writers that are gone: the living hold a lock on what they write."""
        removed = 0
        with self._said(self._root):
            if not self._exists():
                return 0
            for hidden in self._keys("", prefix, temporary=True):
                path = self._root / hidden
                with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                    removed += 1
                    self._remove_empty(path.parent)
        return removed

    def _current(self, path: Path) -> str | None:
        try:
            with path.open("rb") as file:
                return _etag(file.fileno())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _path(self, key: str) -> Path:
        return self._root / checked(key)

    def _exists(self) -> bool:
        """Whether anything was ever written here."""
        if self._root.is_dir():
            return True
        if self._root.exists():
            raise StoreMissing(f"{self._root} is no directory", "Correct the path")
        self._require_parent()
        return False

    def _require_parent(self) -> None:
        parent = self._root.parent
        if not parent.is_dir():
            raise StoreMissing(f"there is no directory {parent} to hold {self._root.name}", "Mount it, or create it")

    def _make(self, directory: Path) -> None:
        self._require_parent()
        line = [directory, *directory.parents]
        for missing in reversed(line[: line.index(self._root) + 1]):
            if not missing.is_dir():
                missing.mkdir(mode=0o700, exist_ok=True)
                _sync(missing.parent)

    def _remove_empty(self, directory: Path) -> None:
        with suppress(OSError):
            while directory != self._root:
                directory.rmdir()
                directory = directory.parent

    @contextmanager
    def _temporary(self, path: Path) -> Iterator[tuple[Path, int]]:
        """A hidden file beside ``path``, locked as long as it is being written; what is not renamed goes away."""
        with self._said(path):
            temporary, descriptor = self._begin(path)
        try:
            yield temporary, descriptor
        finally:
            with suppress(OSError):
                temporary.unlink()
            os.close(descriptor)
            self._remove_empty(path.parent)

    def _begin(self, path: Path) -> tuple[Path, int]:
        while True:
            temporary = path.with_name(f".tmp-{secrets.token_hex(4)}-{path.name}")
            try:
                self._make(path.parent)
                descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            except FileNotFoundError:
                continue  # a delete took the empty directory away
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_nlink:
                    return temporary, descriptor
            except BlockingIOError:
                pass
            except OSError:
                temporary.unlink()
                os.close(descriptor)
                raise
            os.close(descriptor)  # abort_uploads took it for a dead writer's before it was locked

    @contextmanager
    def _written(self, path: Path, content: bytes) -> Iterator[tuple[Path, str]]:
        """The content on disk under a hidden name, and its etag."""
        with self._temporary(path) as (temporary, descriptor):
            with self._said(path):
                _write(descriptor, memoryview(content))
                os.fsync(descriptor)
                etag = _etag(descriptor)
            yield temporary, etag

    def _overwrite(self, path: Path, content: bytes) -> str:
        with self._written(path, content) as (temporary, etag), self._said(path):
            temporary.rename(path)
            _sync(path.parent)
        return etag

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process or thread replaces or deletes meanwhile."""
        with self._said(self._root):
            self._make(self._root)
            descriptor = os.open(self._root / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + PATIENCE
            with self._said(self._root):
                while not _locked(descriptor):
                    if time.monotonic() > deadline:
                        raise StoreUnreachable(
                            f"another process holds {self._root / '.lock'} for more than {PATIENCE:.0f} s",
                            "Look for a stopped process",
                        )
                    time.sleep(0.005)
            yield
        finally:
            os.close(descriptor)

    def _now(self) -> float:
        """The file system's clock: that of a file server may differ from ours, and files' times are its."""
        try:
            with TemporaryFile(dir=self._root, prefix=".clock-") as file:
                return os.fstat(file.fileno()).st_mtime
        except OSError:
            return time.time()  # read-only or full, which reading does not mind

    def _entry(self, key: str, now: float) -> Entry:
        descriptor = _open(self._root / key)
        try:
            found = os.fstat(descriptor)
            return Entry(key, found.st_size, max(0.0, now - found.st_mtime), _etag(descriptor))
        finally:
            os.close(descriptor)

    def _keys(self, below: str, prefix: str, temporary: bool = False) -> Iterator[str]:
        """Paths of the files, or of the hidden ones, whose key starts with ``prefix``; in the order of keys."""
        try:
            with os.scandir(self._root / below) as found:
                # With its slash a directory stands where its keys do: "a-b" comes before "a/b".
                names = sorted(f"{item.name}/" if item.is_dir(follow_symlinks=False) else item.name for item in found)
        except FileNotFoundError:
            return
        for name in names:
            path = below + name
            if name.startswith(".tmp-"):
                if temporary and (below + name.split("-", 2)[2]).startswith(prefix):
                    yield path
            elif name.startswith("."):
                continue
            elif name.endswith("/"):
                if path.startswith(prefix) or prefix.startswith(path):
                    yield from self._keys(path, prefix, temporary)
            elif not temporary and path.startswith(prefix):
                yield path

    @contextmanager
    def _present(self, path: Path) -> Iterator[None]:
        """As ``_said``, and what is not there is said to be missing."""
        with self._said(path):
            try:
                yield
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                self._exists()
                raise ObjectMissing(f"there is no {path}") from None

    @contextmanager
    def _said(self, path: Path) -> Iterator[None]:
        """Whatever the system refuses in the block, as a ``StoreError``."""
        try:
            yield
        except OSError as error:
            code = error.errno or 0
            kind = StoreDenied if code in _DENIED else StoreUnreachable if code in _UNREACHABLE else StoreError
            reason = error.strerror or type(error).__name__
            raise kind(f"{path}: {reason}", _HINTS.get(code, "Look at the directory and its file system")) from None


def _open(path: Path) -> int:
    """For reading; whatever is no file is not there. Opening a pipe does not wait."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return descriptor


def _write(descriptor: int, content: memoryview) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _sync(directory: Path) -> None:
    """A new name is only safe from a power cut when its directory is written too."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _etag(descriptor: int) -> str:
    """By content, as inode and time may both come back; large files, which are never replaced, by these after all."""
    found = os.fstat(descriptor)
    if found.st_size <= SMALL:
        return hashlib.sha256(os.pread(descriptor, SMALL, 0)).hexdigest()
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"
