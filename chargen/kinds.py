"""The kinds of run: one row each, naming the code of each.

Members named as `module:attribute` are imported when they are used, so this module needs no torch and any package may
import it. To add a kind, add a row and write the members that it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from typing import Any

from chargen.errors import ChargenError


@dataclass(frozen=True)
class Kind:
    """A kind of run: its names, and the code that trains, loads, evaluates and shows it."""

    name: str  # in config.json
    title: str  # in messages
    task: str  # for `chargen train --task`
    use: str  # an example command; {} is the run's name
    wrong_kind: str  # message shown when another kind is wanted; {} is the run's name
    default_input: str  # named corpus to train on when no input is given
    model: str  # class of the model's config
    data: str  # class of the data record in config.json
    options: str  # class of the training options
    prepare: str  # (options, Context) -> Prepared
    load: str  # (Run) -> what `chargen.load` returns
    embed: str  # (Run) -> an object whose `embed` turns texts into vectors
    evaluate: str  # (Run, options, inputs, EvaluationSettings) -> metrics
    show: str  # (Run, metrics): prints them
    inspect: str | None = None  # (Run, Texts, InspectionSettings) -> Findings
    preview: str | None = None  # (Run) -> text shown at each evaluation
    has_labels: bool = False

    def get(self, member: str) -> Any:
        """Import the object that a field of this row names.

        >>> KINDS["classifier"].get("data").__name__
        'LabelledRecord'
        """
        module, _, attribute = getattr(self, member).partition(":")
        return reduce(getattr, attribute.split("."), import_module(module))

    @property
    def train(self) -> str:
        """The command that trains a run of this kind.

        >>> KINDS["classifier"].train
        'chargen train --task classify'
        """
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
        inspect="chargen.api.inspect:inspect_language_model",
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
        inspect="chargen.api.inspect:inspect_classifier",
        has_labels=True,
    ),
}


def is_kind(name: object) -> bool:
    """Whether `name` names a kind; any value is accepted, since it may come from a file.

    >>> is_kind("classifier"), is_kind(None)
    (True, False)
    """
    return isinstance(name, str) and name in KINDS


def kind_of(name: str) -> Kind:
    """Look up a kind by its name.

    Raises:
        ChargenError: This version knows no kind of that name.

    >>> kind_of("classifier").title
    'classifier'
    """
    if not is_kind(name):
        raise ChargenError(f"unknown kind of run {name!r}: this chargen knows {', '.join(KINDS)}")
    return KINDS[name]
