r"""The page of an inspection: one HTML file that holds its style, its script and all numbers.

The numbers are JSON, compressed, in base64, whose letters cannot end an element. The script shows what they say as
text nodes, and the page's policy lets nothing run but that script, and nothing be fetched.
"""

from __future__ import annotations

import gzip
import json
import re
import string
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from chargen.errors import ChargenError
from chargen.runs.files import write_atomically

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = ("base", "text", "plot", "reading", "units", "gates", "gradients", "states", "decisions", "page")  # joined
LEVELS = string.ascii_letters + string.digits + "+"  # of a unit's values, the lowest first; an odd number, for a zero
MARK = b'<meta name="generator" content="chargen inspect">'  # of page.html


def page(findings: Mapping[str, Any]) -> str:
    """The page for findings, as `export.as_json` writes them."""
    units = findings["units"]
    units = {**units, "first": in_letters(units["first"]), "chosen": in_letters(units["chosen"])}
    style = _read("page.css")
    script = "\n".join(_read(f"{name}.js") for name in SCRIPTS)
    numbers = json.dumps({**findings, "units": units}, separators=(",", ":")).encode()
    parts = {
        "policy": f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; base-uri 'none'",
        "style": style,
        "script": script,
        "findings": b64encode(gzip.compress(numbers, 6, mtime=0)).decode(),
    }
    return re.sub("@(policy|style|script|findings)@", lambda found: parts[found[1]], _read("page.html"))


def in_letters(packed: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of `export.in_bytes` with fewer levels, a letter each: as fine as a colour shows, and a third smaller.

    >>> in_letters({"scales": [0.5], "bytes": b64encode(bytes([127, 0, 129])).decode()})["letters"]
    '+Fa'
    """
    most = len(LEVELS) // 2
    values = np.frombuffer(b64decode(packed["bytes"]), np.int8)
    levels = np.rint(values * (most / 127)).astype(np.int64) + most
    letters = np.frombuffer(LEVELS.encode(), np.uint8)[levels].tobytes().decode()
    rest = {name: value for name, value in packed.items() if name != "bytes"}
    return rest | {"scales": [scale * 127 / most for scale in packed["scales"]], "letters": letters, "levels": LEVELS}


def check_page(path: Path) -> None:
    """See whether a page may be written to a path.

    Raises:
        ChargenError: Its folder does not exist, or it holds something that is no page of chargen's.
    """
    if not path.absolute().parent.is_dir():
        raise ChargenError(f"there is no folder {path.parent} for the page {path.name}: make it first")
    if path.exists() and not is_page(path):
        raise ChargenError(
            f"{path} is there already and is no page of chargen inspect: name another file, or move that away"
        )


def write_page(path: Path, findings: Mapping[str, Any]) -> None:
    """Write the page for findings, over an earlier page."""
    write_atomically(path, page(findings).encode())


def is_page(path: Path) -> bool:
    """Whether a file is a page that chargen wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return MARK in file.read(1024)


def _read(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _source(content: str) -> str:
    """Names what stands in an element, for the page's policy."""
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
