"""Opens files only inside their folder and writes them whole; locks on folders end with their process.

Run folders, sweeps and stores can come from strangers: each path that a record of theirs names goes through `Folder`.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from darkroom.errors import OutputError

MAX_BYTES = 2 << 30  # of any file that is read as a whole

_TEMPORARY = re.compile(r"\.darkroom-\d+-[0-9a-f]{8}\.tmp")  # a file that is being written, see `Folder.write`
_OPENAT = {os.open, os.mkdir, os.stat, os.unlink, os.rename, os.link, os.chmod} <= os.supports_dir_fd
_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_LONGEST = 255  # letters of a name; file systems take 255 bytes
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_LINK = "a link, or lies behind one; not followed"


def inside(path: str) -> tuple[str, ...]:
    """The parts of a path within a folder.

    Args:
        path: with `/` between its parts.

    Raises:
        ValueError: it is empty or absolute, leads upwards, or is not spelled plainly, as with `//` or a backslash.
    """
    parts = tuple(path.split("/"))
    if any(part in ("", ".", "..") or set(part) & {"\0", "\\"} for part in parts) or re.match(r"[A-Za-z]:", path):
        raise ValueError("not a path within the folder")
    if any(len(part) > _LONGEST for part in parts):
        raise ValueError(f"a name of over {_LONGEST} letters")
    return parts


class Folder:
    """A folder and what is below it. Paths are relative to it, with `/`.

    Nothing outside can be reached: a path that leads upwards, a link on the way or at its end, and anything that is
    not a regular file raises OSError before it is opened.

    Args:
        root: the folder itself, named by the user; links on the way to it are followed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, path: str) -> BinaryIO:
        """A file, to be read."""
        with self._parent(path) as (parent, name):
            return _regular(name, _READ, parent)

    def read(self, path: str, limit: int = MAX_BYTES) -> bytes:
        """A file's content; OSError where it is larger than `limit` bytes."""
        with self.open(path) as file:
            return _content(file, limit)

    def digest(self, path: str) -> str:
        """SHA-256 of a file, 64 hexadecimal digits."""
        with self.open(path) as file:
            return _digest(file)

    def has(self, path: str) -> bool:
        """Whether there is such a file, which can be read."""
        with suppress(OSError), self.open(path):
            return True
        return False

    def holds(self, path: str) -> bool:
        """Whether anything has this name, be it a link, a folder, or a file that cannot be read."""
        try:
            with self._parent(path) as (parent, name):
                os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError:
            pass
        return True

    def status(self, path: str) -> os.stat_result:
        """A file's size and number of names."""
        with self._parent(path) as (parent, name):
            return os.stat(name, dir_fd=parent, follow_symlinks=False)

    def files(self) -> Iterator[str]:
        """The paths of all files, sorted folder by folder; links are passed over."""
        for folder, folders, names in os.walk(self.root):
            folders.sort()
            within = Path(folder).relative_to(self.root)
            for name in sorted(names):
                if not os.path.islink(os.path.join(folder, name)):  # noqa: PTH114, PTH118  # of a million files
                    yield (within / name).as_posix()

    def write(self, path: str, data: bytes, mode: int | None = None) -> None:
        """Replace a file by its new content at once; a crash leaves the old one or the new one.

        Args:
            path: folders on the way are made.
            data: its content; on the disk when this returns.
            mode: permissions; None for the user's usual ones.
        """
        with self._replaced(path) as (parent, temporary):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | getattr(os, "O_BINARY", 0)
            with open(os.open(temporary, flags, 0o666, dir_fd=parent), "wb") as file:  # noqa: PTH123  # a descriptor
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                os.chmod(temporary, mode, dir_fd=parent)

    def link(self, path: str, other: Folder, name: str) -> None:
        """Give another folder's file a second name here: a hard link, or a copy where the file system has none.

        A file that has this name already is replaced at once.
        """
        with self._replaced(path) as (parent, temporary), other._parent(name) as (source, file):
            try:
                os.link(file, temporary, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
                return
            except FileNotFoundError:
                raise
            except OSError:
                pass
        self.write(path, other.read(name), stat.S_IMODE(other.status(name).st_mode))

    def append(self, path: str) -> BinaryIO:
        """A file to add to, unbuffered; made where there is none. One that has a second name elsewhere is refused."""
        with self._parent(path, make=True) as (parent, name):
            file = _regular(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), parent)
            if os.fstat(file.fileno()).st_nlink > 1:
                file.close()
                raise OSError(errno.EMLINK, "has a second name elsewhere (a hard link); put a copy in its place")
            return file

    def move(self, path: str, new: str) -> None:
        """Give a file another path, at once; what had that path is replaced."""
        with self._parent(path) as (source, name), self._parent(new, make=True) as (target, new_name):
            os.replace(name, new_name, src_dir_fd=source, dst_dir_fd=target)

    def remove(self, path: str) -> None:
        """Remove a file, if it is there. A link is not a file, and stays."""
        with suppress(FileNotFoundError), self._parent(path) as (parent, name):
            if not stat.S_ISREG(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise _refused("not a file; not removed")
            os.unlink(name, dir_fd=parent)

    def remove_leftovers(self) -> None:
        """Remove what killed processes have left half-written here. Nobody may be writing meanwhile.

        Raises:
            OutputError: it cannot be removed.
        """
        with writing(self.root):
            for path in self.files():
                if self.is_leftover(path):
                    self.remove(path)

    @staticmethod
    def is_leftover(path: str) -> bool:
        """Whether a path is that of a file that was being written when its process was killed."""
        return _TEMPORARY.fullmatch(PurePosixPath(path).name) is not None

    @contextmanager
    def _replaced(self, path: str) -> Iterator[tuple[int | None, str]]:
        """A temporary name beside a path, whose file takes the path's place at the end."""
        with self._parent(path, make=True) as (parent, name):
            short = f".darkroom-{os.getpid()}-{secrets.token_hex(4)}.tmp"
            temporary = os.path.join(os.path.dirname(name), short)  # noqa: PTH118, PTH120  # the name alone, mostly
            try:
                yield parent, temporary
                with suppress(FileNotFoundError):  # nothing was made under the temporary name
                    os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            finally:
                with suppress(FileNotFoundError):  # renaming one name of a file to another of its names leaves both
                    os.unlink(temporary, dir_fd=parent)

    @contextmanager
    def _parent(self, path: str, make: bool = False) -> Iterator[tuple[int | None, str]]:
        """The folder that a path's last part lies in, open, and that part.

        Where the system cannot open relative to a folder, None and the whole path, of which every part was checked.
        """
        try:
            *folders, name = inside(path)
        except ValueError as error:
            raise _refused(str(error)) from None
        if make and not self.root.exists():
            self.root.mkdir(parents=True, exist_ok=True)
        if not _OPENAT:
            yield None, str(self._checked(folders, name, make))
            return
        parent = os.open(self.root, _READ | os.O_DIRECTORY)
        try:
            for folder in folders:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(folder, dir_fd=parent)
                inner = _opened(folder, _READ | os.O_DIRECTORY | _NO_LINK, parent)
                os.close(parent)
                parent = inner
            yield parent, name
        finally:
            os.close(parent)

    def _checked(self, folders: list[str], name: str, make: bool) -> Path:
        here = self.root
        for folder in folders:
            here = here / folder
            if make and not here.is_symlink():
                here.mkdir(exist_ok=True)
            if here.is_symlink() or getattr(here, "is_junction", bool)():  # a link of Windows' own
                raise _refused(_LINK)
        if (here / name).is_symlink():
            raise _refused(_LINK)
        return here / name


def read_file(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The content of a file that a user names; links are followed.

    Raises:
        OSError: it cannot be read, is no regular file (a pipe would wait for ever), or has over `limit` bytes.
    """
    with _regular(str(path), _READ, None, links=True) as file:
        return _content(file, limit)


def digest_of(path: Path) -> str:
    """SHA-256 of a file that a user names, 64 hexadecimal digits; see `read_file`."""
    with _regular(str(path), _READ, None, links=True) as file:
        return _digest(file)


@contextmanager
def locked(folder: Path, *, shared: bool = False, busy: str) -> Iterator[None]:
    """Hold a folder for this process. The kernel gives it back however the process ends.

    Args:
        folder: which.
        shared: others may hold it too, as long as nobody wants it alone.
        busy: the error line for when somebody else holds it.

    Raises:
        OutputError: somebody holds it, or it cannot be opened.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise OutputError(busy) from None
    except OSError:
        pass  # a file system without locks, as some network ones are
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the operating system says while writing into the one line that a user can act on."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None


def _regular(name: str, flags: int, parent: int | None, links: bool = False) -> BinaryIO:
    """Open a file that is a regular one, unbuffered where it is written."""
    handle = _opened(name, flags | (0 if links else _NO_LINK), parent)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _refused("not a file")
    if flags & os.O_WRONLY:
        return open(handle, "wb", buffering=0)  # noqa: PTH123  # a descriptor
    return open(handle, "rb")  # noqa: PTH123


def _opened(name: str, flags: int, parent: int | None) -> int:
    try:
        return os.open(name, flags, 0o666, dir_fd=parent)
    except OSError as error:
        if flags & _NO_LINK and error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _refused(_LINK) from None
        raise


def _digest(file: BinaryIO) -> str:
    if os.fstat(file.fileno()).st_size > MAX_BYTES:
        raise _too_large(MAX_BYTES)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _content(file: BinaryIO, limit: int) -> bytes:
    size = os.fstat(file.fileno()).st_size
    data = file.read(min(size, limit) + 1)  # what is asked for is allocated, read or not
    if len(data) > limit:
        raise _too_large(limit)
    return data


def _too_large(limit: int) -> OSError:
    return OSError(errno.EFBIG, f"larger than {limit:,} bytes")


def _refused(reason: str) -> OSError:
    return OSError(errno.EPERM, reason)
