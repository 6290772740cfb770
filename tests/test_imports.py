"""The one-way road: text → models → training and generation → the command line, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import write_run
from processes import run_python

import chargen
from chargen.models.config import ClassifierConfig, EncoderConfig
from chargen.text.tokenizers.char import CharTokenizer

PACKAGE = Path(chargen.__file__).parent
# Each room may import the rooms before it in this list, and its own files.
ROAD = [
    "errors",
    "declared",
    "kinds",
    "hardware",
    "workers",
    "text",
    "models.specs",
    "models.config",  # shapes, without torch
    "models.units",
    "models.ngrams",  # runs in NumPy
    "models.cells_numpy",
    "models.classifier_numpy",
    "runs",
    "models",
    "evaluation",
    "classification",
    "generation",
    "inspection",
    "training",
    "api",
    "cli",
]
WITHOUT_TORCH = (
    "errors",
    "declared",
    "kinds",
    "workers",
    "text",
    "models.specs",
    "models.config",
    "models.units",
    "models.ngrams",
    "models.cells_numpy",
    "models.classifier_numpy",
    "runs",
    "evaluation",
    "classification",
    "generation",
    "api",
)
WITH_TORCH = (
    "evaluation.losses",
    "evaluation.dynamic",
    "generation.engines.torch_engine",
    "generation.engines.torch_samplers",
    "api.train",
    "api.evaluate",
    "api.inspect",
    "api.inspected_gradients",
)


def room(module: str) -> str:
    """The room of a module: the longest name on the road that it begins with."""
    return max((name for name in ROAD if f"{module}.".startswith(f"{name}.")), key=len, default="")


def imports(path: Path, *, at_import_time: bool = False) -> Iterator[str]:
    """The modules that a file imports, anywhere in it or at its top level alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_import_time else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "chargen")
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name not in ("__init__.py", "__main__.py")]
FILES += [PACKAGE / "cli" / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_the_road(path: Path) -> None:
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    own = ROAD.index(room(module))
    for name in imports(path):
        if name.startswith("chargen."):
            assert ROAD.index(room(name.removeprefix("chargen."))) <= own, f"{module} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_text_classification_and_generation_need_no_torch(path: Path) -> None:
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    if room(module) in WITHOUT_TORCH and module not in WITH_TORCH:
        assert not [name for name in imports(path, at_import_time=True) if name.partition(".")[0] == "torch"]


def test_nothing_imports_the_command_line() -> None:
    for path in FILES:
        if path.parent.name != "cli":
            assert not [name for name in imports(path) if name.startswith("chargen.cli")]


def test_import_chargen_is_instant() -> None:
    code = (
        "import sys, chargen\n"
        "print([m for m in ('torch', 'numpy', 'click', 'polars') if m in sys.modules], dir(chargen))"
    )
    shown = run_python("-c", code, check=True).stdout
    assert shown.startswith("[] ") and "train_classifier" in shown


def test_loading_needs_no_torch() -> None:
    code = "import sys, chargen; chargen.load; print('torch' in sys.modules)"
    assert run_python("-c", code).stdout == "False\n"


def test_a_loaded_classifier_labels_and_embeds_without_torch(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    code = (
        "import sys, chargen; model = chargen.load(sys.argv[1]); model.predict(['good']), model.embed(['bad day']);"
        "chargen.TextEmbedder(sys.argv[1]).fit().transform(['good']); print('torch' in sys.modules)"
    )
    assert run_python("-c", code, str(tmp_path / "run"), check=True).stdout == "False\n"


def make_run(path: Path) -> None:
    tokenizer = CharTokenizer("abdgoy")
    config = ClassifierConfig(EncoderConfig(tokenizer.vocab_size, "gru", 2, 5, 3, bidirectional=True), 2, "concat")
    write_run(path, config, tokenizer, labels=["x", "y"], framed=False, max_length=9)


def test_labelling_on_a_cpu_imports_neither_torch_nor_sklearn(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    code = (
        "import sys; from chargen.cli import main; main(sys.argv[1:], standalone_mode=False);"
        "print([name for name in ('torch', 'sklearn', 'joblib') if name in sys.modules])"
    )
    for device in ("auto", "cpu"):
        command = ["classify", "-m", str(tmp_path / "run"), "--device", device, "good", "a bad day"]
        lines = run_python("-c", code, *command, check=True).stdout.splitlines()
        assert len(lines) == 3 and lines[-1] == "[]"


@pytest.mark.parametrize("name", chargen.__all__)
def test_every_public_name_is_there_and_described(name: str) -> None:
    assert getattr(chargen, name).__doc__


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'transformer'"):
        chargen.transformer  # noqa: B018
