"""Labelled sets to measure classifiers on, each with texts that no training sees."""

from __future__ import annotations

import os
import random
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from chargen.text.builtin import python_lines
from chargen.text.labelled import LabelledSet, read_labelled

DICTIONARIES = Path("/usr/share/hunspell")
PACKAGES = [
    "asyncio",
    "concurrent",
    "ctypes",
    "distutils",
    "email",
    "encodings",
    "html",
    "http",
    "importlib",
    "json",
    "logging",
    "multiprocessing",
    "sqlite3",
    "tkinter",
    "unittest",
    "urllib",
    "wsgiref",
    "xml",
    "xmlrpc",
]


class Split(NamedTuple):
    """Texts to train on, perhaps some to validate on, those that are measured with, and perhaps others, by name."""

    train: LabelledSet
    validation: LabelledSet | None
    test: LabelledSet
    others: Mapping[str, LabelledSet] = {}


def data(name: str) -> Path:
    return Path(os.environ["CHARGEN_BENCH_DATA"]) / name


def sst2(seed: int) -> Split:
    train, dev, test = (read_labelled([str(data("sst2") / f"{part}.csv")]) for part in ("train", "dev", "test"))
    return Split(train, dev, test)


def few(seed: int) -> Split:
    """20 texts a label of SST-2, others for each seed."""
    split = sst2(seed)
    order = list(range(len(split.train.texts)))
    random.Random(seed).shuffle(order)
    chosen = [
        i for label in split.train.label_names for i in [i for i in order if split.train.labels[i] == label][:20]
    ]
    return Split(split.train.select(chosen), None, split.test)


def names(seed: int) -> Split:
    return _cut(read_labelled([str(data("names"))]), 0.8)


def langid(seed: int) -> Split:
    """Sentences and the first 800 pairs of words of each language; the last 200 are measured with."""
    train, test = LabelledSet([], []), LabelledSet([], [])
    for path in sorted(data("langid/sentences").glob("*.txt")):
        pairs = _lines(data("langid/word-pairs") / path.name)
        for found, lines in ((train, _lines(path) + pairs[:800]), (test, pairs[800:])):
            found.texts.extend(lines)
            found.labels.extend([path.stem] * len(lines))
    return Split(train, None, test, {"single words": dictionary_words(train)})


def dictionary_words(train: LabelledSet) -> LabelledSet:
    """200 words of each language from its spelling dictionary, none of them in the texts to train on."""
    known = {word for text in train.texts for word in text.lower().split()}
    words = LabelledSet([], [])
    for language in train.label_names:
        for path in sorted(DICTIONARIES.glob(f"{language}*.dic")):
            if path.stem.partition("_")[0] != language or "Latn" in path.stem:
                continue
            encoding = re.search(rb"^SET +(\S+)", path.with_suffix(".aff").read_bytes(), re.MULTILINE)
            lines = path.read_bytes().decode(encoding[1].decode() if encoding else "utf-8", "ignore").split("\n")[1:]
            found = {re.split(r"[/\t\r]", line)[0] for line in lines}
            new = sorted(word for word in found - known if 4 <= len(word) <= 15 and word.isalpha() and word.islower())
            random.Random(0).shuffle(new)
            words.texts.extend(new[:200])
            words.labels.extend([language] * len(new[:200]))
            break
    return words


def word_order(seed: int) -> Split:
    """Lines of PTB, and the same lines with two neighbouring words swapped."""
    draw = random.Random(0)

    def both(part: str, most: int | None) -> LabelledSet:
        texts, labels = list[str](), list[str]()
        for line in _lines(data("ptb") / f"{part}.txt")[:most]:
            words = line.split()
            different = [i for i in range(len(words) - 1) if words[i] != words[i + 1]]
            if len(words) > 3 and different:
                place = draw.choice(different)
                swapped = [*words[:place], words[place + 1], words[place], *words[place + 2 :]]
                texts += [" ".join(words), " ".join(swapped)]
                labels += ["as written", "swapped"]
        return LabelledSet(texts, labels)

    return Split(both("train", 20_000), None, both("test", None))


def passages(length: int) -> Callable[[int], Split]:
    """Passages of the standard library's source by package, whole files being held out."""

    def read(seed: int) -> Split:
        library = Path(os.__file__).parent
        counted = {name: [path.read_text("utf-8", "replace") for path in sorted((library / name).rglob("*.py"))
                          if "test" not in path.parts] for name in PACKAGES}  # fmt: skip
        largest = sorted(counted, key=lambda name: -sum(map(len, counted[name])))[:10]
        parts = LabelledSet([], []), LabelledSet([], [])
        for name in largest:
            files = counted[name]
            random.Random(0).shuffle(files)
            limit = 0.3 * sum(map(len, files))
            read = 0
            for text in files:
                part = parts[read < limit and text is not files[-1]]
                read += len(text)
                pieces = [text[i : i + length] for i in range(0, len(text) - length // 2, length)]
                pieces = [piece for piece in pieces if piece.strip()][:400]
                part.texts.extend(pieces)
                part.labels.extend([name] * len(pieces))
        return Split(parts[0], None, parts[1])

    return read


def lines(seed: int) -> Split:
    """Code, comment or docstring: lines of the standard library."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv", encoding="utf-8", newline="") as file:
        file.writelines(python_lines())
        file.flush()
        return _cut(read_labelled([file.name]), 0.8)


def debian(seed: int) -> Split:
    """One-line descriptions of Debian's packages, by the ten largest sections that are no programming language."""
    listed = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True, text=True).stdout
    sections = {"libs", "doc", "devel", "utils", "net", "science", "admin", "games", "x11", "text"}
    examples: dict[str, str] = {}  # each description once
    for record in listed.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in record.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Section") in sections and "Description" in fields:
            examples.setdefault(fields["Description"], fields["Section"])
    return _cut(LabelledSet(list(examples), list(examples.values())), 0.8)


def file_types(seed: int) -> Split:
    """Passages of 120 characters of source files on this machine by suffix, whole files being held out."""
    parts = LabelledSet([], []), LabelledSet([], [])
    for suffix in (".py", ".h", ".js", ".pm", ".md", ".html", ".sh", ".ts"):
        files = [
            path for root in ("/usr", "/opt") for path in sorted(Path(root).rglob(f"*{suffix}")) if path.is_file()
        ]
        random.Random(0).shuffle(files)
        for number, path in enumerate(files[:400]):
            text = " ".join(path.read_text("utf-8", "replace")[2000:6000].split())
            pieces = [text[i : i + 120] for i in range(0, len(text) - 120, 480) if "\0" not in text]
            part = parts[number % 5 == 0]
            part.texts.extend(pieces)
            part.labels.extend([suffix] * len(pieces))
    return Split(parts[0], None, parts[1])


SETS: dict[str, Callable[[int], Split]] = {
    "sst2": sst2,
    "sst2-few": few,
    "names": names,
    "langid": langid,
    "word-order": word_order,
    "passages-250": passages(250),
    "passages-2000": passages(2000),
    "python-lines": lines,
    "debian": debian,
    "file-types": file_types,
}


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _cut(examples: LabelledSet, share: float) -> Split:
    order = list(range(len(examples.texts)))
    random.Random(0).shuffle(order)
    end = int(share * len(order))
    return Split(examples.select(order[:end]), None, examples.select(order[end:]))
