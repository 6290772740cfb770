"""A progress bar for work that tells which fraction of it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def fraction_bar(doing: str) -> Iterator[Callable[[float], object]]:
    """Yield a function that moves a progress bar to a fraction, 0 to 1; `doing` stands before it."""
    from tqdm import tqdm

    bar_format = f"{doing} {{percentage:3.0f}}%|{{bar}}| {{elapsed}}<{{remaining}}"
    with tqdm(total=1.0, bar_format=bar_format, delay=1.0, disable=None, leave=False) as bar:
        yield lambda fraction: bar.update(fraction - bar.n)
