"""Running the command line within a test."""

from __future__ import annotations

from click.testing import CliRunner, Result

from chargen.cli import main

# A language model that trains in a second.
SMALL = (
    "--num-layers", "1", "--hidden-size", "16", "--embedding-size", "8", "--batch-size", "4", "--sequence-length",
    "8", "--device", "cpu",
)  # fmt: skip
# A classifier, in three steps.
SMALL_CLASSIFIER = (
    "--task", "classify", "--steps", "3", "--hidden-size", "4", "--batch-size", "8", "--device", "cpu", "--quiet",
)  # fmt: skip


def invoke(*arguments: str, given: str | bytes | None = None) -> Result:
    """What a command says and how it ends, with `given` on standard input."""
    return CliRunner().invoke(main, list(arguments), input=given)


def call(*arguments: str, code: int = 0, given: str | bytes | None = None) -> Result:
    """What a command says that ends with this code; one that fails writes one sentence, and no answer."""
    result = invoke(*arguments, given=given)
    assert result.exit_code == code, result.output
    if code:
        assert result.stdout == "" and "Traceback" not in result.stderr
    return result


def refused(*arguments: str, code: int = 1, given: str | bytes | None = None) -> str:
    """The sentence on standard error of a command that cannot be done."""
    return call(*arguments, code=code, given=given).stderr


def sample(*arguments: str) -> Result:
    return invoke("sample", *arguments)


def score(*arguments: str) -> Result:
    return invoke("score", *arguments)


def written(*arguments: str) -> str:
    """What `chargen sample` writes."""
    return call("sample", *arguments).stdout
