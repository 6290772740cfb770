"""Whether a change left every result as it was: losses and weights of small `--steps` runs, bit for bit.

    python benchmarks/same_losses.py                    # prints them as JSON
    python benchmarks/same_losses.py --against COMMIT   # runs both versions on this machine and compares

Language models and classifiers, three cells, characters and pieces, dropout and weight drop on. The figures depend on
the processor and on torch, so that only runs of one machine compare.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from safetensors.numpy import load_file

REPOSITORY = Path(__file__).parent.parent
COMMON = ("--steps", "12", "--size", "tiny", "--dropout", "0.1", "--weight-drop", "0.1", "--shards", "1")
FIXED = ("--device", "cpu", "--precision", "fp32", "--seed", "3")
TOKENIZERS = {"char": (), "bpe": ("--vocab-size", "300")}
KINDS = {"language-model": ("text.txt",), "classify": ("rows.csv", "--no-adapt")}


@click.command()
@click.option("--against", metavar="COMMIT", help="Compare with this version.")
def main(against: str | None) -> None:
    """Print the losses of small runs, or compare them with those of another version."""
    now = results(REPOSITORY)
    if against is None:
        click.echo(json.dumps(now, indent=1))
        return
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--detach", "-q", tree, against], cwd=REPOSITORY, check=True)
        try:
            before = results(tree)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=REPOSITORY, check=True)
    for name, figures in now.items():
        click.echo(f"{'same' if figures == before[name] else 'DIFFERS'}  {name}: {figures['losses']}")
    if now != before:
        raise click.ClickException(f"results differ from those of {against}")


def results(tree: Path) -> dict[str, Any]:
    """Losses, and a digest of the weights, of each run by the chargen in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder))
        return dict(each_run(tree, Path(folder)))


def each_run(tree: Path, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    environment = {**os.environ, "PYTHONPATH": str(tree), "CHARGEN_DATA": str(folder / "data")}
    for (task, inputs), cell, tokenizer in itertools.product(KINDS.items(), ("lstm", "gru", "rnn"), TOKENIZERS):
        name = f"{task} {cell} {tokenizer}"
        out = folder / name.replace(" ", "-")
        options = (
            "--task",
            task,
            "--cell",
            cell,
            "--tokenizer",
            tokenizer,
            *TOKENIZERS[tokenizer],
            "--out",
            str(out),
        )
        command = [sys.executable, "-m", "chargen", "train", *inputs, *options, *COMMON, *FIXED]
        subprocess.run(command, cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL)
        records = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
        losses = [record["val_loss"] for record in records]
        yield name, {"losses": losses, "weights": digest(out / "model.safetensors")}


def digest(path: Path) -> str:
    """Of the tensors in a file alone: what else the file says may differ from version to version."""
    found = hashlib.sha256()
    for name, tensor in sorted(load_file(path).items()):
        found.update(f"{name} {tensor.dtype} {tensor.shape}".encode() + tensor.tobytes())
    return found.hexdigest()[:16]


def write_data(folder: Path) -> None:
    """Sentences of made-up words, and whether each has a question mark."""
    draw = random.Random(0)
    words = ["".join(draw.choices("aeiou" + "bdklmnrst", k=draw.randint(2, 7))) for _ in range(200)]

    def sentences(count: int) -> list[str]:
        return [" ".join(draw.choices(words, k=8)) for _ in range(count)]

    (folder / "text.txt").write_text(".\n".join(sentences(1200)))
    rows = [f"{sentence}{draw.choice('?.')}" for sentence in sentences(400)]
    (folder / "rows.csv").write_text("text,label\n" + "".join(f"{row},{row[-1] == '?'}\n" for row in rows))


if __name__ == "__main__":
    main()
