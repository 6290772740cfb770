"""No message quotes much of what it complains about, and none steers a terminal."""

from __future__ import annotations

from operator import methodcaller
from pathlib import Path

import pytest
from builders import edit_json, write_table
from commands import SMALL_CLASSIFIER, call, invoke, refused
from hypothesis import given
from hypothesis import strategies as st

from chargen.cli.output import CONTROLS, visible
from chargen.errors import MOST, ChargenError, abridge

HUGE = 100_000
STEERING = "\x1b[31m\x07"


@given(st.text(max_size=20), st.text(min_size=1, max_size=9), st.text(max_size=20))
def test_a_message_quotes_little_and_stays_as_it_is_when_shortened_again(before: str, part: str, after: str) -> None:
    for quoted in (repr(part * HUGE), part * HUGE):
        message = abridge(f"{before} {quoted} {after}")
        assert len(message) <= 3 * MOST and abridge(message) == message
    short = f"{before} {part!r} {after}"
    assert abridge(short) == short


def test_what_is_said_around_a_quotation_stays() -> None:
    for quoted in (repr("a b" * HUGE), repr("it's " * HUGE), "x" * HUGE):
        message = str(ChargenError(f"the run's label {quoted} is unknown: don't"))
        assert message.startswith("the run's label ") and message.endswith(" is unknown: don't")
        assert len(message) < 1.3 * MOST


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("runs")
    call("train", write_table(folder / "table.csv"), *SMALL_CLASSIFIER, "-o", str(folder / "run"))
    return str(folder / "run")


def check(message: str) -> None:
    """A sentence that is short and plain."""
    assert "unexpectedly" not in message
    assert len(message) < 3.2 * MOST and message.count("x") < 1.2 * MOST
    assert not CONTROLS.search(message)


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "-m", "RUN", "TABLE"),
        ("evaluate", "-m", "RUN", "TABLE", "--label-column", "NAME"),
        ("evaluate", "-m", "NAME"),
        ("evaluate", "NAME"),
        ("classify", "-m", "RUN", "--file", "TABLE", "--text-column", "NAME"),
        ("classify", "-m", "RUN", "--device", "NAME", "text"),
        ("classify", "-m", "RUN", "--encoding", "NAME", "--file", "TABLE"),
        ("sample", "-m", "RUN", "--stop", "NAME"),
        ("train", "TABLE", "--task", "classify", "--label-column", "NAME"),
        ("train", "NAME"),
        ("train", "TABLE", "--from", "NAME"),
        ("corpus", "stats", "NAME"),
        ("corpus", "fetch", "NAME"),
        ("score", "NAME"),
    ],
)  # fmt: skip
def test_refusals_quote_little(classifier: str, command: tuple[str, ...], workplace: Path) -> None:
    for name in ("x" * HUGE, "x y " * HUGE, "x" * 9 + STEERING):
        quoted = name.replace('"', "")
        Path("table.csv").write_text(f'text,label\n"good","{quoted}"\n"bad","{quoted}"\n')
        known = {"RUN": classifier, "TABLE": "table.csv", "NAME": name}
        check(refused(*(known.get(word, word) for word in command)))


@pytest.mark.parametrize("arguments", [("--NAME",), ("sample", "--length", "NAME"), ("NAME",), ("sample", "--NAME"),
                                       ("train", "--size", "NAME")])  # fmt: skip
def test_usage_errors_quote_little(arguments: tuple[str, ...]) -> None:
    for name in ("x" * HUGE, "x" * 9 + STEERING):
        check(refused(*(word.replace("NAME", name) for word in arguments), code=2))


def test_damaged_runs_are_quoted_little(classifier: str) -> None:
    config = Path(classifier) / "config.json"
    content = config.read_bytes()
    for name in ("x" * HUGE, "x y " * HUGE, STEERING):
        for field, value in (("kind", name), ("format_version", name), ("model", {name: 1}), ("tokenizer", name),
                             ("options", {name: 1}), ("options", {"inputs": name})):  # fmt: skip
            edit_json(config, methodcaller("update", {field: value}))
            for command in (("evaluate", "-m", classifier), ("train", "--resume", "-o", classifier)):
                check(refused(*command))
            for line in invoke("check", "-m", classifier).output.splitlines():
                check(visible(line))
            config.write_bytes(content)


def test_a_huge_label_is_shown_short(workplace: Path) -> None:
    rows = [
        f"{word} {number},{label}" for number in range(12) for word, label in (("good", "x" * HUGE), ("bad", "n"))
    ]
    Path("huge.csv").write_text("text,label\n" + "\n".join(rows))
    said = call("train", "huge.csv", *(option for option in SMALL_CLASSIFIER if option != "--quiet")).output
    said += call("evaluate", "--mistakes", "3", "--explain").output
    assert max(map(len, said.splitlines())) < 4 * MOST
    Path("singles.csv").write_text("text,label\n" + "\n".join([*rows, f"one,{'y' * HUGE}"]))
    check(refused("train", "singles.csv", *SMALL_CLASSIFIER))
    check(refused("train", "huge.csv", "--val", "singles.csv", *SMALL_CLASSIFIER, "-o", "other"))
