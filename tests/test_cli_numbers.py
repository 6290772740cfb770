"""Every option of every command that takes a number, with numbers that nobody means: one sentence, or an answer."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import click
import pytest
from commands import SMALL, SMALL_CLASSIFIER, call, invoke

from chargen.cli import COMMANDS

ABSURD = ("-1", "1e308", "1e-320", "nan", "inf", str(10**20), "9" * 5000)
START = {  # how each command is called but for the option
    "train": ("book.txt", *SMALL[2:], "--steps", "1", "--quiet", "--out", "new", "--overwrite"),
    "sample": ("-m", "book", "--length", "9"),
    "write": ("-m", "book"),
    "score": ("book.txt", "-m", "book"),
    "classify": ("word", "-m", "reviews"),
    "inspect": ("-m", "book"),
    "evaluate": ("reviews.csv", "-m", "reviews"),
}


def numeric_options() -> Iterator[tuple[str, str]]:
    for name in COMMANDS:
        for option in importlib.import_module(f"chargen.cli.{name}").command.params:
            if (name, option.name) == ("train", "seed"):  # test_options.py
                continue
            if isinstance(option.type, (click.types.IntParamType, click.types.FloatParamType)) and not option.is_flag:
                yield name, max(option.opts, key=len)


@pytest.fixture(scope="module", autouse=True)
def _runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    from builders import write_table, write_text

    folder = tmp_path_factory.mktemp("numbers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_text(folder / "book.txt")
        write_table(folder / "reviews.csv")
        call("train", "book.txt", "--steps", "1", *SMALL, "--quiet")
        call("train", "reviews.csv", *SMALL_CLASSIFIER, "--no-adapt")
        yield


@pytest.mark.parametrize(("command", "option"), numeric_options())
@pytest.mark.parametrize("number", ABSURD, ids=lambda number: number[:10])
def test_absurd_numbers_are_answered_or_refused(command: str, option: str, number: str) -> None:
    start = START[command]
    if option in start:
        start = tuple(part for at, part in enumerate(start) if option not in start[max(0, at - 1) : at + 1])
    more = {"--repetition-window": ("--repetition-penalty", "2"), "--dynamic-rate": ("--dynamic",)}.get(option, ())
    if option == "--dynamic-rate":
        start = ("book.txt", "-m", "book")
    result = invoke(command, *start, *more, option, number)
    assert result.exit_code in (0, 1, 2), result.output
    assert "unexpectedly" not in result.output and "Traceback" not in result.output
    if result.exit_code == 1:
        assert result.stdout == ""


@pytest.mark.parametrize("device", ["meta", "hpu", "cuda:99999999999999999999", "", "x" * 1000])
def test_devices_that_are_none_are_one_sentence(device: str) -> None:
    sentence = call("train", *START["train"], "--device", device, code=1).stderr
    assert "cannot be used" in sentence and len(sentence) < 400
