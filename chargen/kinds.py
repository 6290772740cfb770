"""The kinds of run, a row each. All that differs between them beyond their own files is here.

What a row names as `module:attribute` is loaded when it is used, so that nothing here imports torch, and any room may
look a kind up. A new kind is a row, and the members that it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from typing import Any

from chargen.errors import ChargenError


@dataclass(frozen=True)
class Kind:
    """A kind of run: how it is called, and what makes, loads, measures and shows one."""

    name: str  # in config.json
    title: str  # as people are told
    task: str  # as `chargen train --task` calls it
    use: str  # a command for such a run, whose name stands at {}
    wrong_kind: str  # what is said of such a run where another kind is wanted; its name stands at {}
    default_input: str  # a named corpus, trained on where nothing is named
    model: str  # the model's config
    data: str  # what its config.json says of its data
    options: str  # what a person may ask of its training
    prepare: str  # (options, Setting) -> Prepared
    load: str  # (Run) -> what `chargen.load` gives
    embed: str  # (Run) -> an object whose `embed` gives texts as vectors
    evaluate: str  # (Run, options, inputs, Measuring) -> figures
    show: str  # (Run, figures): prints them
    preview: str | None = None  # (Run) -> text that is shown at an evaluation
    has_labels: bool = False

    def get(self, member: str) -> Any:
        """What a field of this row names."""
        module, _, attribute = getattr(self, member).partition(":")
        return reduce(getattr, attribute.split("."), import_module(module))

    @property
    def train(self) -> str:
        """The command that makes such a run."""
        return "chargen train" if self.task == LANGUAGE_MODEL else f"chargen train --task {self.task}"


LANGUAGE_MODEL = "language-model"
CLASSIFIER = "classifier"
KINDS: dict[str, Kind] = {
    LANGUAGE_MODEL: Kind(
        name=LANGUAGE_MODEL,
        title="language model",
        task="language-model",
        use="chargen sample -m {}",
        wrong_kind="{0} is a language model and knows no labels: `chargen train --task classify --from {0}` makes a "
        "classifier of it",
        default_input="python-docs",
        model="chargen.models.config:LanguageModelConfig",
        data="chargen.text.records:TextRecord",
        options="chargen.training.options:LanguageModelOptions",
        prepare="chargen.training.tasks.language_model:prepare_language_model",
        load="chargen.api.writer:TextWriter",
        embed="chargen.api.writer:TextWriter",
        evaluate="chargen.api.evaluate:evaluate_language_model",
        show="chargen.cli.figures:show_language_model",
        preview="chargen.api.writer:preview",
    ),
    CLASSIFIER: Kind(
        name=CLASSIFIER,
        title="classifier",
        task="classify",
        use='chargen classify -m {} "some text"',
        wrong_kind="{0} is a classifier and writes no text: use `chargen classify -m {0}`",
        default_input="python-lines",
        model="chargen.models.config:ClassifierConfig",
        data="chargen.text.records:LabelledRecord",
        options="chargen.training.options:ClassifierOptions",
        prepare="chargen.training.tasks.prepare_classifier:prepare_classifier",
        load="chargen.api.classifier:TextClassifier.from_run",
        embed="chargen.classification.labeller:Labeller",
        evaluate="chargen.api.evaluate:evaluate_classifier",
        show="chargen.cli.figures:show_classifier",
        has_labels=True,
    ),
}


def is_kind(name: object) -> bool:
    """Whether it is the name of a kind, whatever a file may hold in its place."""
    return isinstance(name, str) and name in KINDS


def kind_of(name: str) -> Kind:
    """A kind by its name; ChargenError for one that this version does not know."""
    if not is_kind(name):
        raise ChargenError(f"unknown kind of run {name!r}: this chargen knows {', '.join(KINDS)}")
    return KINDS[name]
