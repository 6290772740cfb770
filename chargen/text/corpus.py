"""Encoded corpora: ids on disk, memory-mapped, made once for each content and choice of settings."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError
from chargen.text.code_points import SLICE
from chargen.text.corpora import data_folder
from chargen.text.documents import read_documents
from chargen.text.sources import OnRead, Source, fingerprint, hashing, read_text, resolve
from chargen.text.tokenizers.base import PAGE, Ids, Tokenizer
from chargen.text.tokenizers.registry import load_tokenizer, train_tokenizer

VERSION = 1  # of the files of an encoded corpus and of the code that makes their ids
A_DAY = 86_400  # seconds
DAMAGE = (OSError, ValueError, RecursionError)  # raised by reading a broken folder


@dataclass(frozen=True)
class _Record:
    """What `corpus.json` says of the ids."""

    tokenizer: str  # its kind
    tokens: int
    characters: int
    unknown: dict[str, int]
    documents: bool
    checksum: str  # SHA-256 of the fields above, the tokenizer and the ids


@dataclass(frozen=True)
class CorpusSettings:
    """What to encode, and how."""

    inputs: tuple[str, ...]  # files, folders, patterns, `-`, named corpora
    tokenizer: str = "char"  # its kind
    vocab_size: int | None = None  # None: all characters, or as many pieces as suit the text
    min_frequency: int | None = None  # characters that occur less often are unknown
    encoding: str = "utf-8"
    documents: str | None = None  # one of DOCUMENT_MODES; None: one stream of text
    text_column: str = "text"  # of JSONL documents


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as ids, and the tokenizer that reads them."""

    ids: npt.NDArray[Any]  # (N,) read-only, the narrowest unsigned type that holds V - 1
    tokenizer: Tokenizer
    characters: int  # that the ids decode to; each document's end counts as one
    unknown: dict[str, int]  # counts of the characters outside the vocabulary, most frequent first
    fingerprint: str  # SHA-256 of the text's bytes
    documents: bool  # whether documents begin with BOS and end with EOS
    sources: list[str]  # names of files

    def split(self, val_fraction: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Split the ids in two without copying: training, then validation, the last part of the text.

        Documents stay whole: the cut moves to the next start of one.

        Args:
            val_fraction: Fraction for validation, 0 to below 1.

        Returns:
            Ids for training and for validation.

        Raises:
            ChargenError: The fraction is out of range, or the text is a single document.
        """
        if not 0 <= val_fraction < 1:
            raise ChargenError(f"the validation fraction is {val_fraction}, but must be from 0 to below 1")
        cut = int(len(self.ids) * (1 - val_fraction))
        if self.documents and val_fraction:
            cut = self._document_start(cut)
        return self.ids[:cut], self.ids[cut:]

    def _document_start(self, near: int) -> int:
        """The first document start at `near` or later, else the last one before; never index 0."""
        for page in range(max(near, 1), len(self.ids), PAGE):
            if len(found := self._starts(page, page + PAGE)):
                return page + int(found[0])
        for page in range(near - near % PAGE, -1, -PAGE):
            if len(found := self._starts(max(page, 1), page + PAGE)):
                return max(page, 1) + int(found[-1])
        raise ChargenError("the text is a single document, so none can be held out: name a validation text")

    def _starts(self, begin: int, end: int) -> npt.NDArray[np.intp]:
        return np.flatnonzero(self.ids[begin:end] == self.tokenizer.bos_id)


def encode_corpus(
    settings: CorpusSettings,
    *,
    tokenizer: Tokenizer | None = None,
    progress: Callable[[float], object] | None = None,
) -> Corpus:
    """Encode a text in bounded memory, or open the ids of an earlier call.

    Args:
        settings: What to encode, and how.
        tokenizer: Used as it is; None: train one as the settings say.
        progress: Called with the fraction done (0 to 1), unless nothing needs to be done.

    Raises:
        ChargenError: The text is empty or changes meanwhile, or its sources, documents or tokenizer are refused.
    """
    sources = resolve(settings.inputs)
    content = fingerprint(sources)
    names = [source.name for source in sources]
    given = tokenizer.to_bytes() if tokenizer else None
    for maker in dict.fromkeys([None, tokenizer]):  # the given tokenizer may have been trained on this very text
        folder = data_folder() / "encoded" / _key(settings, content, maker)
        with contextlib.suppress(*DAMAGE):  # not encoded yet, or damaged since
            found = _open(folder, content, names)
            if given in (None, found.tokenizer.to_bytes()):
                return found
    with _partial_folder(folder) as partial:
        if _encode(settings, sources, tokenizer, progress, partial) != content:
            raise ChargenError(
                f"the text of {', '.join(settings.inputs)} changed while it was read: run it again when nothing "
                "writes to it"
            )
        _publish(partial, folder)
    return _open(folder, content, names)


def _key(settings: CorpusSettings, content: str, tokenizer: Tokenizer | None) -> str:
    """A hash of everything the ids depend on: the content (not the names of files) and the settings."""
    relevant = asdict(settings) | {"version": VERSION, "content": content}
    del relevant["inputs"]
    if tokenizer:
        relevant |= {"tokenizer": tokenizer.kind, "vocab_size": None, "min_frequency": None}
        relevant["given"] = hashlib.sha256(tokenizer.to_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:32]


@contextlib.contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, beside `folder`; removed in the end unless it was published."""
    for leftover in folder.parent.glob(".*"):  # of a process that was killed
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > A_DAY:
                shutil.rmtree(leftover)
    partial = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    partial.mkdir(parents=True)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _publish(partial: Path, folder: Path) -> None:
    """Rename a filled folder into place, unless another process was faster."""
    try:
        partial.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        with contextlib.suppress(*DAMAGE):
            _open(folder, "", [])
            return
        if folder.is_dir():
            shutil.rmtree(folder)
        else:
            folder.unlink()
        partial.rename(folder)


def _open(folder: Path, content: str, names: list[str]) -> Corpus:
    """Map the ids of a folder; one of DAMAGE if any file is not as it was written."""
    import msgspec

    record = msgspec.json.decode((folder / "corpus.json").read_bytes(), type=_Record)
    if record.checksum != _checksum(folder, record):
        raise ValueError(f"{folder} is damaged")
    tokenizer = load_tokenizer(record.tokenizer, (folder / "tokenizer").read_bytes())
    ids = np.memmap(folder / "ids", _dtype(tokenizer), mode="r", shape=(record.tokens,))
    return Corpus(
        ids=np.asarray(ids),
        tokenizer=tokenizer,
        characters=record.characters,
        unknown=record.unknown,
        fingerprint=content,
        documents=record.documents,
        sources=names,
    )


def _checksum(folder: Path, record: _Record) -> str:
    """SHA-256 of a folder's record, without its own checksum, its tokenizer and its ids."""
    digest = hashlib.sha256(json.dumps(asdict(replace(record, checksum="")), sort_keys=True).encode())
    for name in ("tokenizer", "ids"):
        with (folder / name).open("rb") as file:
            while page := file.read(PAGE):
                digest.update(page)
    return digest.hexdigest()


def _encode(
    settings: CorpusSettings,
    sources: Sequence[Source],
    tokenizer: Tokenizer | None,
    progress: Callable[[float], object] | None,
    folder: Path,
) -> str:
    """Write `ids`, `tokenizer` and `corpus.json` in one or two passes over the text.

    Returns:
        The fingerprint of what was read; empty if the two passes read different texts.
    """
    passes = 1 if tokenizer or settings.tokenizer == "byte" else 2
    on_read = _meter(progress, passes * sum(source.size for source in sources)) if progress else None
    hashed, trained_on = hashing(sources)
    if tokenizer is None:
        tokenizer = train_tokenizer(
            settings.tokenizer,
            _read(settings, hashed, on_read),
            vocab_size=settings.vocab_size,
            min_frequency=settings.min_frequency,
        )
    hashed, encoded = hashing(sources)
    with (folder / "ids").open("wb", buffering=PAGE) as file:
        writer = _Writer(tokenizer, file)
        for text, ids in _parts(tokenizer, _read(settings, hashed, on_read), settings.documents is not None):
            writer.write(text, ids)
        writer.flush()
    (folder / "tokenizer").write_bytes(tokenizer.to_bytes())
    record = _Record(
        tokenizer=tokenizer.kind,
        tokens=writer.tokens,
        characters=writer.characters,
        unknown=dict(writer.unknown.most_common()),
        documents=settings.documents is not None,
        checksum="",
    )
    record = replace(record, checksum=_checksum(folder, record))
    (folder / "corpus.json").write_text(json.dumps(asdict(record)), encoding="utf-8")
    same = passes == 1 or trained_on.digest() == encoded.digest()
    return encoded.hexdigest() if same else ""


def _parts(tokenizer: Tokenizer, texts: Iterator[str], documents: bool) -> Iterator[tuple[str, Ids]]:
    """Parts of the text with their ids; BOS and EOS around each document are parts without text."""
    if not documents:
        yield from ((part, tokenizer.encode(part)) for part in tokenizer.cut(texts))
        return
    bos, eos = (np.array([token], np.int32) for token in (tokenizer.bos_id, tokenizer.eos_id))
    for text in texts:
        yield "", bos
        yield from ((part, tokenizer.encode(part)) for part in tokenizer.cut([text]))
        yield "", eos


class _Writer:
    """Writes ids, many short parts at a time, and counts tokens, characters and unknown characters."""

    def __init__(self, tokenizer: Tokenizer, file: BinaryIO) -> None:
        self.tokens = 0
        self.characters = 0
        self.unknown: Counter[str] = Counter()
        self._tokenizer = tokenizer
        self._file = file
        self._dtype = _dtype(tokenizer)
        self._buffer: list[tuple[str, Ids]] = []
        self._buffered_ids = 0

    def write(self, text: str, ids: Ids) -> None:
        """Buffer a part of the text and its ids."""
        self._buffer.append((text, ids))
        self._buffered_ids += len(ids)
        if self._buffered_ids >= SLICE:
            self.flush()

    def flush(self) -> None:
        """Write the buffer."""
        if not self._buffer:
            return
        text = "".join(text for text, _ in self._buffer)
        ids = np.concatenate([ids for _, ids in self._buffer], dtype=self._dtype, casting="unsafe")
        self._file.write(ids.data)
        self.tokens += len(ids)
        self.characters += len(text) + int(np.count_nonzero(ids == self._tokenizer.eos_id))  # EOS counts as one
        unk = self._tokenizer.unk_id
        if unk is not None and (ids == unk).any():
            self.unknown.update(self._tokenizer.unknown(text))
        self._buffer, self._buffered_ids = [], 0


def _read(settings: CorpusSettings, sources: Sequence[Source], on_read: OnRead | None) -> Iterator[str]:
    """The text in blocks, or document by document."""
    if settings.documents is None:
        return read_text(sources, settings.encoding, on_read)
    return read_documents(
        sources,
        settings.documents,
        encoding=settings.encoding,
        text_column=settings.text_column,
        on_read=on_read,
    )


def _meter(progress: Callable[[float], object], total: int) -> OnRead:
    """A callback that adds up the bytes read and reports their fraction of `total`."""
    done = 0

    def on_read(read: int) -> None:
        nonlocal done
        done += read
        progress(done / max(total, done, 1))  # a file may grow

    return on_read


def _dtype(tokenizer: Tokenizer) -> np.dtype[Any]:
    """The narrowest integer type that holds the ids."""
    return np.min_scalar_type(tokenizer.vocab_size - 1)
