"""`chargen score`: a line a symbol, or JSON."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from commands import invoke, score


def test_score_prints_a_line_a_symbol(text_run: str, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("ab\nc?é", encoding="utf-8")
    result = score("-m", text_run, str(file))
    assert result.exit_code == 0
    assert invoke("score", "-m", text_run, given="ab\nc?é").stdout == result.stdout
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [json.loads(symbol) for _, symbol in rows] == ["a", "b", "\n", "c", "\ufffd", "é"]
    nats = -sum(float(value) for value, _ in rows) / 6
    found = re.search(r"6 characters, (.+) nats or (.+) bits", result.stderr)
    assert found
    assert [float(number) for number in found.groups()] == pytest.approx([nats, nats / math.log(2)], abs=1e-3)
    assert "never saw them: 1 characters" in result.stderr
    record = json.loads(score("-m", text_run, str(file), "--json").stdout)
    assert record["text"] == "ab\nc?é"
    assert record["log_probability"] == pytest.approx(-6 * nats, abs=1e-3)
    assert record["tokens"] == 6
    assert [symbol for symbol, _ in record["symbols"]] == ["a", "b", "\n", "c", "\ufffd", "é"]


def test_score_reads_documents_as_documents(documents_run: str, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("abc\nde\n", encoding="utf-8")
    records = [json.loads(line) for line in score("-m", documents_run, str(file), "--json").stdout.splitlines()]
    assert [[symbol for symbol, _ in record["symbols"]] for record in records] == [
        ["a", "b", "c", ""],
        ["d", "e", ""],
    ]
