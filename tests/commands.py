"""Running the command line within a test."""

from __future__ import annotations

from click.testing import CliRunner, Result

from chargen.cli import main


def call(*arguments: str, code: int = 0, given: str | None = None) -> Result:
    """What a command says, with `given` on standard input; one that fails writes one sentence, and no answer."""
    result = CliRunner().invoke(main, list(arguments), input=given)
    assert result.exit_code == code, result.output
    if code:
        assert result.stdout == "" and "Traceback" not in result.stderr
    return result
