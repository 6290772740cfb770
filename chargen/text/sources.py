"""Sources of text: files, folders, patterns, standard input, named corpora; read in bounded memory."""

from __future__ import annotations

import glob
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from chargen.errors import ChargenError, counted
from chargen.text import corpora
from chargen.text.decoding import decode, has_mark
from chargen.text.packed import ARCHIVE, BLOCK, COMPRESSED, decompressed, is_hidden, members, read_member, read_packed
from chargen.text.piped import refuse_device, spool

SNIFFED = 1 << 13  # bytes read to tell a binary file from text
KEPT = {"config.json", "metrics.jsonl"}, {"corpus.json", "ids"}  # files of a folder with a run, or an encoded text

OnRead = Callable[[int], object]  # called with the number of bytes just read, of a source's `size`


@dataclass(frozen=True)
class Source:
    """One file of text, perhaps compressed or in a zip archive."""

    name: str  # as the user knows it
    path: Path
    member: str = ""  # name within the archive at `path`
    member_size: int = 0  # bytes, decompressed

    @property
    def compressed(self) -> bool:
        """Whether the content is not as it lies on disk."""
        return bool(self.member) or self.path.suffix.lower() in COMPRESSED

    @property
    def plain(self) -> Path:
        """The file's name without the compression suffix.

        >>> str(Source("a", Path("data/a.csv.gz")).plain), str(Source("a", Path("a.zip"), "data/b.csv").plain)
        ('a.csv', 'b.csv')
        """
        if self.member:
            return Path(Path(self.member).name)
        return Path(self.path.stem if self.compressed else self.path.name)

    @property
    def size(self) -> int:
        """Bytes on disk (compressed, if the file is); of an archive's file, those of its content."""
        return self.member_size if self.member else self.path.stat().st_size

    def blocks(self, on_read: OnRead | None = None, *, size: int = BLOCK) -> Iterator[bytes]:
        """Yield the content, decompressed according to its suffix.

        Args:
            on_read: Called with the number of bytes read, of those that `size` counts.
            size: Bytes per block.

        Raises:
            ChargenError: The file is damaged.
        """
        if self.member:
            for block in read_member(self.path, self.member, size, self.name):
                if on_read:
                    on_read(len(block))
                yield block
            return
        with self.path.open("rb") as stored, decompressed(stored, self.path.suffix, self.name) as content:
            position = 0
            while block := read_packed(content, size, self.path.suffix, self.name):
                if on_read:
                    on_read(stored.tell() - position)
                    position = stored.tell()
                yield block


def resolve(inputs: Sequence[str], *, kinds: Sequence[str] = ("text",)) -> list[Source]:
    """Find the files that a user's inputs stand for.

    A folder or zip archive stands for its text files at any depth, sorted, without hidden and binary ones, and
    without the runs and encoded texts that chargen keeps; links to other folders are not followed. In a pattern,
    `**` stands for such folders at any depth. Each input gives a real file once, however many links and matches lead
    to it. A file wins over a corpus of the same name.

    Args:
        inputs: Files, folders, patterns, `-` for standard input, named corpora.
        kinds: Kinds of corpus that will do: "text", "labelled".

    Raises:
        ChargenError: An input has no name, does not exist, is a device, or is a corpus of another kind.
    """
    return [source for given in inputs for source in _distinct(_resolve(given, kinds))]


def left_out(inputs: Sequence[str]) -> list[str]:
    """Say in a sentence which files of folders and archives are left out, since they are no text.

    Args:
        inputs: As for `resolve`.

    Returns:
        One sentence, or none if no file is left out.
    """
    binary: list[str] = []
    for given in inputs:
        path, files = Path(given), list[Source]()
        if path.is_dir():
            files = _inside(path)
        elif path.is_file() and path.suffix.lower() == ARCHIVE:
            files = _contents(path, given)
        binary += [source.name for source in files if not _looks_like_text(source)]
    if not binary:
        return []
    names = ", ".join(binary[:3]) + (", …" if len(binary) > 3 else "")
    return [f"{counted(len(binary), 'file')} left out, no text as they are: {names}"]


def fingerprint(sources: Sequence[Source]) -> str:
    """SHA-256 of the decompressed content, in hexadecimal; for one file the same as `sha256sum`.

    Files are separated by NUL, which no text contains, so that the hash depends on where each ends.
    """
    hashed, digest = hashing(sources)
    for source in hashed:
        for _ in source.blocks():
            pass
    return digest.hexdigest()


def hashing(sources: Sequence[Source]) -> tuple[list[Source], hashlib._Hash]:
    """The same sources, and the state of a hash that gets what is read of them.

    When all were read once, in order, it is the hash of `fingerprint`.
    """
    digest = hashlib.sha256()
    hashed = [
        _Hashed(**vars(source), digest=digest, after_another=number > 0) for number, source in enumerate(sources)
    ]
    return [*hashed], digest


@dataclass(frozen=True, kw_only=True)
class _Hashed(Source):
    """A source whose content goes into a hash while it is read."""

    digest: hashlib._Hash
    after_another: bool

    def blocks(self, on_read: OnRead | None = None, *, size: int = BLOCK) -> Iterator[bytes]:
        self.digest.update(b"\0" if self.after_another else b"")
        for block in super().blocks(on_read, size=size):
            self.digest.update(block)
            yield block


def read_text(sources: Sequence[Source], encoding: str = "utf-8", on_read: OnRead | None = None) -> Iterator[str]:
    r"""Yield the text of all sources, one after another, in blocks of at most about BLOCK characters.

    Line ends become `\n`; byte order marks are dropped.

    Args:
        sources: Files.
        encoding: Of the files.
        on_read: Called with the number of bytes read.

    Raises:
        ChargenError: A file is binary or not valid in the encoding, or there is no text at all.
    """
    empty = True
    for source in sources:
        for block in read_source(source, encoding, on_read):
            empty = False
            yield block
    if empty:
        raise no_text_in(sources)


def read_source(source: Source, encoding: str = "utf-8", on_read: OnRead | None = None) -> Iterator[str]:
    """Yield the text of one source as `read_text` does; an empty file yields nothing."""
    return decode(source.blocks(on_read, size=BLOCK), encoding, source.name)


def no_text_in(sources: Sequence[Source]) -> ChargenError:
    """The error for sources without any text."""
    names = ", ".join(source.name for source in sources[:3]) + (", …" if len(sources) > 3 else "")
    return ChargenError(f"there is no text in {names or 'nothing'}: name a file that has some")


def _distinct(sources: list[Source]) -> list[Source]:
    """The first source of each real file."""
    found: dict[tuple[Path, str], Source] = {}
    for source in sources:
        found.setdefault((source.path.resolve(), source.member), source)
    return list(found.values())


def _resolve(given: str, kinds: Sequence[str]) -> list[Source]:
    if not given.strip():
        raise ChargenError("one input has an empty name: name a file or folder, or . for the current folder")
    if given == "-":
        return [Source("standard input", spool(sys.stdin.buffer, "standard input"))]
    path = Path(given)
    if path.is_dir():
        return _text_files(path)
    if path.is_file() and not _size_unknown(path):
        return _files(path, given)
    if path.exists():  # a pipe, as the shell's <(command) makes one: it can be read only once
        refuse_device(path.stat(), given)
        with path.open("rb") as stream:
            return [Source(given, spool(stream, given))]
    if found := [source for match in matches(path) for source in _resolve(str(match), kinds)]:
        return found
    if given in corpora.CORPORA:
        return [Source(str(path), path) for path in corpora.training_files(given, kinds)]
    raise _missing(given)


def matches(pattern: Path) -> list[Path]:
    """The files and folders that a pattern matches; glob itself would follow links round in circles for `**`."""
    if "**" not in pattern.parts:
        paths = map(Path, glob.glob(str(pattern)))  # noqa: PTH207 - Path.glob refuses absolute patterns
        return sorted(path for path in paths if path.exists())
    at = pattern.parts.index("**")
    after = [part for part in pattern.parts[at + 1 :] if part != "**"]
    folders = [path for path in matches(Path(*pattern.parts[:at])) if path.is_dir()]
    if not after:
        return folders
    inside = (Path(glob.escape(parent), *after) for folder in folders for parent, _ in _walk(folder))
    return sorted({match for below in inside for match in matches(below)})


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each folder at any depth, and the names of its files, without hidden ones and the folders of KEPT below it."""

    def fail(error: OSError) -> None:
        raise error  # os.walk would silently skip folders that it may not read

    for parent, folders, names in os.walk(folder, onerror=fail):
        if Path(parent) != folder and any(kept <= {*names} for kept in KEPT):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not is_hidden(name)]
        yield parent, [name for name in names if not is_hidden(name)]


def _text_files(folder: Path) -> list[Source]:
    return _only_text(_inside(folder), f"the folder {folder}")


def _inside(folder: Path) -> list[Source]:
    """All files of a folder, at any depth, and of the archives in it."""
    paths = [Path(parent, name) for parent, names in _walk(folder) for name in names]
    return [source for path in sorted(paths) if path.is_file() for source in _contents(path, str(path))]


def _files(path: Path, name: str) -> list[Source]:
    """The file itself, or the text files of an archive."""
    return [Source(name, path)] if path.suffix.lower() != ARCHIVE else _only_text(_contents(path, name), name)


def _contents(path: Path, name: str) -> list[Source]:
    """The file itself, or all files of an archive."""
    if path.suffix.lower() != ARCHIVE:
        return [Source(name, path)]
    return [Source(f"{name}/{member}", path, member, size) for member, size in members(path, name)]


def _only_text(sources: list[Source], where: str) -> list[Source]:
    text = [source for source in sources if _looks_like_text(source)]
    if not text:
        what = "only binary files" if sources else "no files"
        raise ChargenError(f"{where} has {what} in it: name one with text files")
    return text


def _looks_like_text(source: Source) -> bool:
    head = next(source.blocks(size=SNIFFED), b"")
    return b"\0" not in head or has_mark(head)


def _size_unknown(path: Path) -> bool:
    """Whether a file has content but no size, as those of /proc: it may be another the next time it is read."""
    if path.stat().st_size:
        return False
    with path.open("rb") as file:
        return bool(file.read(1))


def _missing(given: str) -> ChargenError:
    import difflib

    folder = Path(given).parent
    nearby = {path.name: str(path) for path in folder.iterdir()} if folder.is_dir() else {}
    names = difflib.get_close_matches(Path(given).name, [*nearby, *corpora.CORPORA], n=2, cutoff=0.75)
    close = [nearby.get(name, name) for name in names]
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    return ChargenError(
        f"there is no file, folder or corpus {given!r}{hint}: "
        f"name one that exists, or a corpus: {', '.join(corpora.CORPORA)}"
    )
