"""How fast and in how much memory a large text is prepared: encoded for training, then found again.

    python benchmarks/prepare.py --size 1e9

writes a text of that many bytes to a temporary folder and prepares it, for each tokenizer in a process of its own.
Seconds are of the clock; megabytes a second are the text's bytes over the processor time that one core spent,
which other programs on the machine disturb less; the peak is of the process's resident memory.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = 50_000
PARAGRAPH = 1 << 20  # characters that are written over and over, each time begun at another place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=float, default=1e9, help="bytes of text (default 1e9)")
    parser.add_argument("--tokenizers", default="char,byte", help="kinds, separated by commas (default char,byte)")
    parser.add_argument("--prepare", nargs=2, metavar=("TEXT", "KIND"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare:
        prepare(Path(options.prepare[0]), options.prepare[1])
        return
    with tempfile.TemporaryDirectory(prefix="chargen-prepare-") as folder:
        text = Path(folder, "text.txt")
        write_text(text, int(options.size))
        print(
            f"{text.stat().st_size / 1e6:,.0f} MB of text\ntokenizer  run     seconds  core MB/s  peak MB", flush=True
        )
        environment = os.environ | {"CHARGEN_DATA": folder, "OMP_NUM_THREADS": "1"}
        for kind in options.tokenizers.split(","):
            for run in ("first", "second"):
                print(f"{kind:<10} {run:<7} ", end="", flush=True)
                command = [sys.executable, __file__, "--prepare", str(text), kind]
                subprocess.run(command, env=environment, check=True)


def prepare(text: Path, kind: str) -> None:
    """Encode a text, and print the time taken and the most memory held."""
    from chargen.text.corpus import CorpusSettings, encode_corpus

    start, processor = time.perf_counter(), time.process_time()
    encode_corpus(CorpusSettings(inputs=(str(text),), tokenizer=kind))
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(f"{seconds:>7.2f} {text.stat().st_size / 1e6 / processor:>10.0f} {peak / 1e6:>8.0f}", flush=True)


def write_text(path: Path, size: int) -> None:
    """Write `size` bytes of made-up words in lines, a few of their letters outside ASCII."""
    rng = random.Random(0)
    letters = "etaoinshrdlucmfwypvbgkjqxzé"
    frequencies = [1 / (rank + 3) for rank in range(len(letters))]
    words = ["".join(rng.choices(letters, frequencies, k=rng.randint(1, 9))) for _ in range(WORDS)]
    chosen = rng.choices(words, [1 / (rank + 1) for rank in range(WORDS)], k=PARAGRAPH // 4)
    lines = [" ".join(chosen[start : start + 12]) + "\n" for start in range(0, len(chosen), 12)]
    written = 0
    with path.open("wb") as file:
        while written < size:
            rng.shuffle(lines)
            block = "".join(lines).encode()[: size - written]
            written += file.write(block.decode("utf-8", "ignore").encode())
            if size - written < 2:  # a letter of two bytes may have been left out
                break


if __name__ == "__main__":
    main()
