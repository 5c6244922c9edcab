"""Opens files only inside their folder, and writes them whole.

Run folders, sweeps and stores can come from strangers: every path that their records name is opened through `Folder`.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from darkroom.errors import OutputError
from darkroom.system.file_names import is_portable
from darkroom.system.locks import LOCK_FILE
from darkroom.system.profiling import spanned

MAX_BYTES = 2 << 30  # of a file that is read as a whole

_IS_WINDOWS = os.name == "nt"
# Each folder of a path is opened relative to its parent, so that nobody can swap in a link in between.
_HAS_OPENAT = (
    hasattr(os, "O_DIRECTORY")
    and {os.open, os.mkdir, os.stat, os.unlink, os.rename, os.link, os.chmod} <= os.supports_dir_fd
)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for its other end
_READ = os.O_RDONLY | _NO_WAIT
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_WAIT
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL

_TEMPORARY = re.compile(r"\.darkroom-\d+-[0-9a-f]{8}\.tmp")  # a file that is being written
_ORDINARY = re.compile(r"(?:\w[\w.~-]{,99}/)*\w[\w.~-]{,99}", re.ASCII)
_JUNCTION = 0xA0000003  # the reparse tag of a Windows junction, which is a link to a folder
_MAX_NAME = 255  # characters; file systems take 255 bytes
_IS_LINK = "it is a link, or lies behind one; not followed"


def relative_parts(path: str) -> tuple[str, ...]:
    """The parts of a path within a folder.

    Args:
        path: its parts, separated by `/`.

    Raises:
        ValueError: it is empty or absolute, leads upwards, or is not spelled plainly, as with `//` or a backslash.
    """
    parts = tuple(path.split("/"))
    if _ORDINARY.fullmatch(path) and not _IS_WINDOWS:  # as nearly all are; the rest takes ten times as long
        return parts
    if any(part in ("", ".", "..") or set(part) & {"\0", "\\"} for part in parts) or re.match(r"[A-Za-z]:", path):
        raise ValueError("not a path within the folder")
    if any(len(part) > _MAX_NAME for part in parts):
        raise ValueError(f"a name of over {_MAX_NAME} characters")
    if _IS_WINDOWS and not all(map(is_portable, parts)):  # `nul` is a device, `a:b` a hidden stream of the file a
        raise ValueError("a name that Windows does not allow")
    return parts


class Folder:
    """A folder and everything below it. Paths are relative to it, with `/`.

    Nothing outside can be reached: a path that leads upwards, a link on the way or at its end, and anything but a
    regular file raise OSError before they are opened.

    Args:
        root: the folder itself, named by the user; links on the way to it are followed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, path: str) -> io.BufferedReader:
        """Open a file for reading."""
        with self._parent(path) as (parent, name):
            return open(_open_regular(name, _READ, parent), "rb")  # a descriptor

    def read(self, path: str, limit: int = MAX_BYTES) -> bytes:
        """A file's content; OSError if it is larger than `limit` bytes."""
        with self.open(path) as file:
            return _content(file, limit)

    def digest(self, path: str) -> str:
        """The SHA-256 of a file, 64 hexadecimal digits."""
        with self.open(path) as file:
            return _digest(file)

    def has(self, path: str) -> bool:
        """Whether there is a file of this name that can be read."""
        with suppress(OSError), self.open(path):
            return True
        return False

    def holds(self, path: str) -> bool:
        """Whether anything has this name: also a link, a folder, or a file that cannot be read."""
        try:
            self.status(path)
        except FileNotFoundError:
            return False
        except OSError:
            pass
        return True

    def status(self, path: str) -> os.stat_result:
        """The size of a file, its number of hard links, and so on."""
        with self._parent(path) as (parent, name):
            return os.stat(name, dir_fd=parent, follow_symlinks=False)

    def files(self) -> Iterator[str]:
        """The paths of all files, sorted folder by folder, without links and without the file of `locked`."""
        for folder, folders, names in os.walk(self.root):
            folders.sort()
            within = Path(folder).relative_to(self.root)
            for name in sorted(names):
                # Strings, not Path objects: there can be a million files.
                if name != LOCK_FILE and not os.path.islink(os.path.join(folder, name)):  # noqa: PTH114, PTH118
                    yield (within / name).as_posix()

    @spanned("write")
    def write(self, path: str, data: bytes, mode: int | None = None) -> None:
        """Replace a file by new content at once: a crash leaves either the old file or the new one.

        Args:
            path: missing folders on the way are made.
            data: the new content; it is on the disk when this returns.
            mode: permissions; None for the user's default. Not applied on Windows, where a read-only file can be
                neither replaced nor removed.
        """
        with self._replaced(path) as (parent, temporary):
            with open(_open(temporary, _CREATE | _NO_LINK, parent), "wb") as file:  # a descriptor
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None and not _IS_WINDOWS:
                os.chmod(temporary, mode, dir_fd=parent)

    @spanned("write")
    def link(self, path: str, other: Folder, name: str) -> None:
        """Hard-link a file of another folder here, or copy it where hard links do not work.

        A file that has this name already is replaced at once.
        """
        follow = os.link not in os.supports_follow_symlinks  # no such option here; `name` is not a link
        with self._replaced(path) as (parent, temporary), other._parent(name) as (source, file):
            try:
                os.link(file, temporary, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=follow)
                return
            except FileNotFoundError:
                raise
            except OSError:
                pass
        self.write(path, other.read(name), stat.S_IMODE(other.status(name).st_mode))

    def append(self, path: str) -> io.FileIO:
        """Open a file for appending, unbuffered; it is made if missing. A file with a second hard link is refused."""
        with self._parent(path, make=True) as (parent, name):
            file = io.FileIO(_open_regular(name, _APPEND, parent), "a")
            if os.fstat(file.fileno()).st_nlink > 1:
                file.close()
                raise OSError(errno.EMLINK, "has a second name elsewhere (a hard link); put a copy in its place")
            return file

    def move(self, path: str, new: str) -> None:
        """Give a file another path at once; a file that has that path is replaced."""
        with self._parent(path) as (source, name), self._parent(new, make=True) as (target, new_name):
            os.replace(name, new_name, src_dir_fd=source, dst_dir_fd=target)

    def remove(self, path: str) -> None:
        """Remove a file if it exists. A link is not a file, and stays."""
        with suppress(FileNotFoundError), self._parent(path) as (parent, name):
            if not stat.S_ISREG(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise _refused("not a file; not removed")
            os.unlink(name, dir_fd=parent)

    def remove_leftovers(self) -> None:
        """Remove files that killed processes left half-written. No other process may be writing here.

        Raises:
            OutputError: a file cannot be removed.
        """
        with writing(self.root):
            for path in filter(self.is_leftover, self.files()):
                self.remove(path)

    @staticmethod
    def is_leftover(path: str) -> bool:
        """Whether the path is that of a file that was being written when its process was killed."""
        return _TEMPORARY.fullmatch(PurePosixPath(path).name) is not None

    @contextmanager
    def _replaced(self, path: str) -> Iterator[tuple[int | None, str]]:
        """A temporary name beside a path; at the end, the file of that name takes the path's place."""
        with self._parent(path, make=True) as (parent, name):
            short = f".darkroom-{os.getpid()}-{secrets.token_hex(4)}.tmp"
            temporary = os.path.join(os.path.dirname(name), short)  # noqa: PTH118, PTH120  # strings, as from `_parent`
            try:
                yield parent, temporary
                with suppress(FileNotFoundError):  # nothing was made under the temporary name
                    os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            finally:
                with suppress(FileNotFoundError):  # os.replace leaves two hard links to one file as they are
                    os.unlink(temporary, dir_fd=parent)

    @contextmanager
    def _parent(self, path: str, make: bool = False) -> Iterator[tuple[int | None, str]]:
        """An open descriptor of the folder in which a path ends, and the last part of the path.

        Where the system cannot open files relative to a folder: None and the whole path, all parts of it checked.
        """
        try:
            *folders, name = relative_parts(path)
        except ValueError as error:
            raise _refused(str(error)) from None
        if make and not self.root.exists():
            self.root.mkdir(parents=True, exist_ok=True)
        if not _HAS_OPENAT:
            yield None, str(self._checked(folders, name, make))
            return
        parent = os.open(self.root, _READ | _DIRECTORY)
        try:
            for folder in folders:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(folder, dir_fd=parent)
                outer, parent = parent, _open(folder, _READ | _DIRECTORY | _NO_LINK, parent)
                os.close(outer)  # once: after an interruption, its number may be that of another thread's file
            yield parent, name
        finally:
            os.close(parent)

    def _checked(self, folders: list[str], name: str, make: bool) -> Path:
        here = self.root
        for folder in folders:
            here = here / folder
            if make and not _is_link(here):
                here.mkdir(exist_ok=True)
            if _is_link(here):
                raise _refused(_IS_LINK)
        if _is_link(here / name):
            raise _refused(_IS_LINK)
        return here / name


def read_file(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The content of a file that a user names; links are followed.

    Raises:
        OSError: it cannot be read, is not a regular file (a pipe would wait for ever), or has over `limit` bytes.
    """
    with open_file(path) as file:
        return _content(file, limit)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file that a user names, 64 hexadecimal digits; errors as in `read_file`."""
    with open_file(path) as file:
        return _digest(file)


def open_file(path: Path) -> io.BufferedReader:
    """A file that a user names, opened for reading; links are followed.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    return open(_regular(os.open(path, _READ)), "rb")  # a descriptor


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError while writing into one line that a user can act on.

    Raises:
        OutputError: something could not be written.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None


def _open_regular(name: str, flags: int, parent: int | None) -> int:
    """A descriptor of a regular file that is not behind a link."""
    return _regular(_open(name, flags | _NO_LINK, parent))


def _regular(descriptor: int) -> int:
    """The descriptor of a regular file; any other is closed and refused."""
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _refused(f"a {'folder' if stat.S_ISDIR(mode) else 'pipe or device'}, not a file")
    return descriptor


def _open(name: str, flags: int, parent: int | None) -> int:
    try:
        return os.open(name, flags, 0o666, dir_fd=parent)
    except OSError as error:
        if flags & _NO_LINK and error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _refused(_IS_LINK) from None
        raise


def _is_link(path: Path) -> bool:
    """Whether a path is a symbolic link or a Windows junction; False if nothing is there."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION


def _digest(file: io.BufferedReader) -> str:
    if os.fstat(file.fileno()).st_size > MAX_BYTES:
        raise _too_large(MAX_BYTES)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _content(file: io.BufferedReader, limit: int) -> bytes:
    size = os.fstat(file.fileno()).st_size
    data = file.read(min(size, limit) + 1)  # Python allocates as much as is asked for
    if len(data) > limit:
        raise _too_large(limit)
    return data


def _too_large(limit: int) -> OSError:
    return OSError(errno.EFBIG, f"larger than {limit:,} bytes")


def _refused(reason: str) -> OSError:
    return OSError(errno.EPERM, reason)
