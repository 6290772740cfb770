"""`chargen score`: a line a symbol, or JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import invoke
from commands import score as score_command

from chargen.generation.engines.choice import choose_engine
from chargen.generation.scoring import Score, score, score_parts
from chargen.models.config import LanguageModelConfig
from chargen.runs.folder import load_run


def test_score_prints_a_line_a_symbol(text_run: str, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("ab\nc?é", encoding="utf-8")
    result = score_command("-m", text_run, str(file))
    assert result.exit_code == 0
    assert invoke("score", "-m", text_run, given="ab\nc?é").stdout == result.stdout
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [json.loads(symbol) for _, symbol in rows] == ["a", "b", "\n", "c", "\ufffd", "é"]
    nats = -sum(float(value) for value, _ in rows) / 6
    found = re.search(r"6 characters, (.+) nats or (.+) bits", result.stderr)
    assert found
    assert [float(number) for number in found.groups()] == pytest.approx([nats, nats / math.log(2)], abs=1e-3)
    assert "never saw them: 1" in result.stderr
    record = json.loads(score_command("-m", text_run, str(file), "--json").stdout)
    assert record["text"] == "ab\nc?é"
    assert record["log_probability"] == pytest.approx(-6 * nats, abs=1e-3)
    assert record["tokens"] == 6
    assert [symbol for symbol, _ in record["symbols"]] == ["a", "b", "\n", "c", "\ufffd", "é"]


def test_score_reads_documents_as_documents(documents_run: str, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("abc\nde\n", encoding="utf-8")
    records = [
        json.loads(line) for line in score_command("-m", documents_run, str(file), "--json").stdout.splitlines()
    ]
    assert [[symbol for symbol, _ in record["symbols"]] for record in records] == [
        ["a", "b", "c", ""],
        ["d", "e", ""],
    ]


def test_parts_of_a_text_are_scored_as_the_whole(text_run: str) -> None:
    run = load_run(Path(text_run))
    engine, tokenizer = choose_engine(run.model_config(LanguageModelConfig), run.weights()), run.tokenizer()
    text = "abc abc dea\n" * 30
    whole = score(engine, tokenizer, text, documents=True)
    for blocks in ([text], list(text), [text[:7], text[7:]]):
        parts = list(score_parts(engine, tokenizer, blocks, documents=True))
        assert np.concatenate([part.ids for part in parts]).tolist() == whole.ids.tolist()
        np.testing.assert_allclose(np.concatenate([part.log_probs for part in parts]), whole.log_probs, rtol=1e-5)
    assert whole.ids[-1] == tokenizer.eos_id and len(whole.ids) == len(text) + 1


def test_a_text_is_scored_while_it_is_read(text_run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It need not fit into memory: the first tokens are scored before the second block is read."""
    events: list[str] = []

    def blocks(*arguments: object) -> Iterator[str]:
        for _ in range(3):
            events.append("read")
            yield "abc " * 100

    def scored(*arguments: Any, **options: Any) -> Iterator[Score]:
        for part in score_parts(*arguments, **options):
            events.append("scored")
            yield part

    monkeypatch.setattr("chargen.cli.judging.read_like", blocks)
    monkeypatch.setattr("chargen.cli.judging.score_parts", scored)
    assert len(invoke("score", "-m", text_run, given="abc").stdout.splitlines()) == 1200
    assert events == ["read", "scored", "scored"] * 3


def test_a_text_too_long_for_json_is_refused(text_run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chargen.cli.judging.MOST_IN_JSON", 10)
    result = invoke("score", "-m", text_run, "--json", given="abc " * 3)
    assert result.exit_code == 1 and result.stdout == ""
    assert "a text has 12 characters or more, but one JSON object may have at most 10: leave --json" in result.stderr
    assert invoke("score", "-m", text_run, given="abc " * 3).exit_code == 0
