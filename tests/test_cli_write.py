"""`chargen write`: turns from standard input, or one text that a person chooses piece by piece."""

from __future__ import annotations

import json

import pytest
from click.testing import Result
from commands import invoke, score
from processes import run_python


def turns(path: str, typed: str, *arguments: str) -> Result:
    return invoke("write", "-m", path, *arguments, given=typed)


def test_turns_go_from_standard_input_to_standard_output(text_run: str) -> None:
    options = ("-l", "30", "--seed", "1", "--forbid", r"\n")
    result = turns(text_run, "abc\ncannot read z\nde\n", *options)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [len(line) for line in lines] == [30, 30]
    assert "> " in result.stderr and "never saw" in result.stderr
    assert turns(text_run, "abc\nde\n", *options).stdout == result.stdout
    assert turns(text_run, "de\n", "abc", *options).stdout == result.stdout  # the prompt is the first line
    stopped = turns(text_run, "abc\n", "--stop", lines[0][10:13], *options).stdout
    assert stopped == lines[0][: lines[0].index(lines[0][10:13])] + "\n"


@pytest.mark.parametrize("bad", [("-l", "0"), ("--stop", ""), ("z",)])
def test_a_turn_that_cannot_be_is_refused_before_anything_is_typed(text_run: str, bad: tuple[str, ...]) -> None:
    result = turns(text_run, "abc\n", *bad)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "> " not in result.stderr


def test_co_writing_takes_numbers_and_texts(text_run: str) -> None:
    result = turns(text_run, "cde\n", "ab", "--choose")
    assert (result.exit_code, result.stdout) == (0, "abcde\n")
    menus = [
        [json.loads(line.split("%  ")[1].replace("'", '"')) for line in menu.splitlines() if "%" in line]
        for menu in result.stderr.split("+ ")
    ]
    for number, expected in (("2", menus[1][1]), ("", menus[1][0]), (r"a\nb", "a\nb")):
        assert turns(text_run, f"cde\n{number}\n", "ab", "--choose").stdout.removesuffix("\n") == (
            f"abcde{expected}".removesuffix("\n")
        )
    refused = turns(text_run, "", "z", "--choose")
    assert (refused.exit_code, refused.stdout) == (1, "")


def test_co_writing_gives_the_text_whatever_ends_it(text_run: str) -> None:
    code = (
        "import sys; from chargen.cli import main\n"
        "class Typed:\n"
        "    lines = iter(['cde\\n'])\n"
        "    def readline(self):\n"
        "        for line in self.lines: return line\n"
        "        raise KeyboardInterrupt\n"
        "sys.stdin = Typed()\n"
        f"main(['write', 'ab', '-m', {text_run!r}, '--choose'])"
    )
    ended = run_python("-c", code)
    assert (ended.returncode, ended.stdout) == (130, "abcde\n")


def test_what_has_no_use_where_a_person_chooses_is_told(text_run: str) -> None:
    result = turns(text_run, "", "--choose", "--seed", "1")
    assert result.exit_code == 2 and "--choose lets you write, so --seed has no use" in result.stderr
    result = score("-m", text_run, "x", "--json", "--heat")
    assert result.exit_code == 2 and "--json prints JSON, so --heat has no use" in result.stderr
