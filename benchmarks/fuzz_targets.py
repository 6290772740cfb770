"""What `fuzz.py` damages, and how it is then read."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from mutate import damage_file, json_bytes, mutate_bytes, mutate_header, mutate_json, mutate_tensors

from chargen.api.evaluate import evaluate
from chargen.api.writer import TextWriter
from chargen.classification.labeller import Labeller, threshold_of
from chargen.errors import ChargenError
from chargen.kinds import LANGUAGE_MODEL
from chargen.models.config import ModelConfig
from chargen.runs.files import load_tensors, tensor_bytes, to_json
from chargen.runs.folder import STATE, Run, load_run
from chargen.runs.inputs import own_texts
from chargen.runs.memory import in_memory
from chargen.text.documents import read_documents
from chargen.text.labelled import read_labelled
from chargen.text.sources import read_text, resolve
from chargen.text.tokenizers.registry import KINDS, load_tokenizer, train_tokenizer
from chargen.training import ngrams
from chargen.training.options import ClassifierOptions, LanguageModelOptions, Options, options_of
from chargen.training.schedule import Budget
from chargen.training.setup import Hooks
from chargen.training.start import resume, start

TEXT = "the cat sat on the mat, and the dog ran after the hat.\n" * 40
ROWS = [(f"{word} film {number}", label) for number in range(10) for word, label in (("good", "pos"), ("bad", "neg"))]
Files = dict[str, bytes]


@dataclass(frozen=True)
class Target:
    """Undamaged files, how to damage them, and how to read them; both work in the current folder."""

    seeds: Sequence[Files]
    damage: Callable[[Random], object]
    read: Callable[[Random], object]


def make_targets(folder: Path) -> dict[str, Target]:
    """Write the undamaged files; the current folder is one of its own.

    Args:
        folder: A folder to train tiny runs in.
    """
    os.chdir(folder)
    ngrams.SMALL_LIMITS = (1, 20)  # a resumed classifier fits its n-grams again
    runs = [{**_inputs(), **files} for files in _train()]
    tables = [{f"table{suffix}": content} for suffix, content in _tables().items()]
    packed = {".gz": gzip.compress(TEXT.encode(), mtime=0), ".xz": lzma.compress(TEXT.encode())}
    packed[".zst"] = _zstd(TEXT.encode())
    archives = [{f"text.txt{suffix}": content} for suffix, content in packed.items()]
    archives.append({"table.csv.gz": gzip.compress(_tables()[".csv"], mtime=0)})
    tokenizers = [{kind: _tokenizer(kind)} for kind in KINDS]
    for files in runs:  # what they import is imported once, before any fork
        write_files(files)
        with suppress(ChargenError):  # a language model has no labels
            _read_run(Random(1))
        _resume(Random(0))
    return {
        "run": Target(runs, _damage_run, _read_run),
        "resume": Target(runs, _damage_state, _resume),
        "tokenizer": Target(tokenizers, _damage_any, _read_tokenizer),
        "table": Target(tables, _damage_any, _read_table),
        "archive": Target(archives, _damage_any, _read_archive),
    }


def write_files(files: Files) -> None:
    """Put files into the current folder."""
    for file, content in files.items():
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _inputs() -> Files:
    return {"text.txt": TEXT.encode(), "table.csv": _tables()[".csv"]}


def _train() -> list[Files]:
    """The files of a language model and of a classifier with n-grams, always the same ones."""
    write_files(_inputs())
    shape: dict[str, Any] = {"num_layers": 2, "hidden_size": 6, "embedding_size": 4, "batch_size": 4, "device": "cpu"}
    shape |= {"precision": "fp32", "steps": 3}
    model = LanguageModelOptions(inputs=("text.txt",), sequence_length=8, **shape)
    classifier = ClassifierOptions(inputs=("table.csv",), ngrams=True, adapt=False, **shape)
    with patch("time.monotonic", return_value=0.0):  # the files have the seconds that were spent
        for name, options in (("model", model), ("classifier", classifier)):
            list(start(options, Path(name)))
    return [
        {
            f"run/{path.relative_to(name)}": path.read_bytes()
            for path in sorted(Path(name).rglob("*"))
            if path.is_file()
        }
        for name in ("model", "classifier")
    ]


def _tables() -> Files:
    texts = {suffix: io.StringIO(newline="") for suffix in (".csv", ".tsv")}
    for suffix, file in texts.items():
        between = "," if suffix == ".csv" else "\t"
        file.writelines(between.join(row) + "\n" for row in [("text", "label"), *ROWS])
    records = [{"text": text, "label": label} for text, label in ROWS]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    quoted = "text,label\n" + "".join(f'"{text}, ""so""\n{text}",{label}\n' for text, label in ROWS)
    return {suffix: file.getvalue().encode() for suffix, file in texts.items()} | {
        ".jsonl": lines.encode(),
        ".json": json.dumps(records).encode(),
        "s.csv": quoted.encode(),
        ".parquet": _in_child(_parquet),
    }


def _parquet() -> bytes:
    import polars as pl

    content = io.BytesIO()
    pl.DataFrame({"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]}).write_parquet(content)
    return content.getvalue()


def _in_child(make: Callable[[], bytes]) -> bytes:
    """What a function makes in a child: the threads of polars do not live on in later children of this process."""
    read, write = os.pipe()
    if not os.fork():
        os.write(write, make())  # less than a pipe holds
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:  # noqa: PTH123
        content = pipe.read()
    os.wait()
    return content


def _zstd(content: bytes) -> bytes:
    import zstandard

    return zstandard.compress(content)


def _tokenizer(kind: str) -> bytes:
    return train_tokenizer(kind, [TEXT], vocab_size=270 if kind in ("bpe", "unigram") else None).to_bytes()


def _damage_run(random: Random) -> None:
    """Damage one or two files of a run, and set half of the checksums right again."""
    _damage_folder(random, sorted(path for path in Path("run").iterdir() if path.is_file()))


def _damage_state(random: Random) -> None:
    """Damage what a training goes on from: mostly its state, often its options."""
    state, config = Path("run", STATE), Path("run/config.json")
    others = [path for path in Path("run").iterdir() if path.is_file()]
    _damage_folder(random, random.choice(([state], [state], [config], [config], [config, state], others)))


def _damage_folder(random: Random, files: list[Path]) -> None:
    sealed = random.random() < 0.25
    for path in random.sample(files, min(len(files), random.choice((1, 1, 1, 2)))):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if random.random() < 0.15:
            damage_file(random, path, sorted(other for other in path.parent.iterdir() if other.is_file()))
        elif path.suffix == ".safetensors" and random.random() < 0.8:
            path.write_bytes(_tensors(random, content))
        elif path.suffix == ".jsonl" and random.random() < 0.8:
            lines = [json.loads(line) for line in content.splitlines()]
            path.write_bytes(b"\n".join(json_bytes(random, line) for line in mutate_json(random, lines) or [0]))
        elif path.suffix == ".json" and random.random() < 0.9:
            _rewrite(random, path, content, sealed)
        else:
            path.write_bytes(mutate_bytes(random, content))
        if path.name != "config.json" and not sealed:
            _forget_digests()


def _rewrite(random: Random, path: Path, content: bytes, sealed: bool) -> None:
    """Change a JSON file; without its checksum, or with the right one, unless it is `sealed`."""
    value = json.loads(content)
    kept = {name: value.pop(name) for name in ("sha256", "files") if isinstance(value, dict) and name in value}
    part = random.choice(sorted(value)) if path.name == "config.json" and random.random() < 0.8 else None
    if part in ("model", "options", "data", "tokenizer"):
        changed = value | {part: mutate_json(random, value[part])}
    else:
        changed = mutate_json(random, value)
    if sealed and isinstance(changed, dict):
        changed |= kept
    path.write_bytes(json_bytes(random, changed))


def _forget_digests() -> None:
    """Take the checksums of other files and its own out of config.json, if it is one still."""
    path = Path("run/config.json")
    try:
        value = json.loads(path.read_bytes()) if path.is_file() and path.stat().st_size < 1 << 20 else None
    except (ValueError, RecursionError, OSError):
        return
    if isinstance(value, dict) and value.pop("files", None) is not None:
        value.pop("sha256", None)
        path.write_bytes(to_json(value))


def _tensors(random: Random, content: bytes) -> bytes:
    """Change a file of tensors, mostly with the right checksum."""
    if random.random() < 0.25:
        return mutate_header(random, content)
    tensors, facts = load_tensors(Path("x"), content)
    if facts and random.random() < 0.4:
        facts = mutate_json(random, facts)
    else:
        tensors = mutate_tensors(random, tensors)
    return tensor_bytes(tensors, facts)


def _damage_any(random: Random) -> None:
    """Damage the bytes of the only file, or its values where it is JSON."""
    (path,) = Path.cwd().iterdir()
    content = path.read_bytes()
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    path.write_bytes(
        json_bytes(random, mutate_json(random, value))
        if value is not None and random.random() < 0.6
        else mutate_bytes(random, content)
    )


def _try_all(reads: Iterable[Callable[[], object]]) -> None:
    """Call each; raise the first ChargenError at the end."""
    refused: ChargenError | None = None
    for read in reads:
        try:
            read()
        except ChargenError as error:
            refused = refused or error
    if refused:
        raise refused


def _read_run(random: Random) -> None:
    run = load_run(Path("run"))
    reads: list[Callable[[], object]] = [
        *(run.tokenizer, run.labels, run.weights, run.ngrams, run.scales, run.held_out, run.summary, run.metrics),
        *(run.training_state, lambda: own_texts(run), lambda: run.model_config(ModelConfig)),
        *(lambda: options_of(run, Options), lambda: in_memory(run), lambda: threshold_of(run, 0.5)),
    ]
    if run.kind == LANGUAGE_MODEL:
        reads += [lambda: _write(run)]
    else:
        reads += [lambda: Labeller(run, "cpu").classify(["good film 3", "", "?!"])]
    if random.random() < 0.3:
        other = "text.txt" if run.kind == LANGUAGE_MODEL else "table.csv"
        reads += [lambda: evaluate(run, device="cpu"), lambda: evaluate(run, other, device="cpu")]
    _try_all(reads)


def _write(run: Run) -> None:
    writer = TextWriter(run)
    writer.generate("the", length=8, seed=0)
    writer.score("the cat")


def _resume(random: Random) -> None:
    count = iter(range(1 << 30))
    budget = random.choice((Budget(), Budget(steps=5)))
    list(resume(load_run(Path("run")), budget, device="cpu", hooks=Hooks(stop=lambda: next(count) >= 1)))


def _read_tokenizer(random: Random) -> None:
    (path,) = Path.cwd().iterdir()
    tokenizer = load_tokenizer(path.name, path.read_bytes())
    tokenizer.decode(tokenizer.encode(TEXT[:200] + "ß\U0001f600\u2581"))
    tokenizer.count_characters(tokenizer.encode(TEXT[:50]))


def _read_table(random: Random) -> None:
    (path,) = Path.cwd().iterdir()
    columns: dict[str, Any] = random.choice(({}, {"text_column": "text", "label_column": "label"}))
    reads: list[Callable[[], Any]] = [
        lambda: read_labelled([path.name], **columns, for_training=random.random() < 0.5)
    ]
    if path.suffix == ".jsonl":
        reads += [lambda: list(read_documents(resolve([path.name]), "jsonl"))]
    _try_all(reads)


def _read_archive(random: Random) -> None:
    (path,) = Path.cwd().iterdir()
    if path.name.startswith("table"):
        read_labelled([path.name])
    else:
        sum(map(len, read_text(resolve([path.name]))))
