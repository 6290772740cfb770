"""scikit-learn estimators: a classifier that is fitted to texts in memory, and texts as vectors for other models.

Both take lists, NumPy arrays, and pandas or polars Series of str. torch is imported by `fit` alone. What is pickled
is a run's files as bytes, never a model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from chargen.api.checks import as_labels, as_run, as_texts, tags_of_texts, without_models
from chargen.classification.labeller import Labeller, Verdict
from chargen.errors import ChargenError
from chargen.kinds import CLASSIFIER
from chargen.runs.create import write_run
from chargen.runs.folder import Run
from chargen.runs.memory import RunInMemory, in_memory
from chargen.text.labelled import LabelledSet
from chargen.text.records import LabelledRecord

READ_LABEL: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "bool": "True".__eq__}  # as a run records it
NO_OPTIONS = ("out", "overwrite")  # parameters that are no field of ClassifierOptions


@dataclass(kw_only=True, eq=False, repr=False)  # writes the constructor that scikit-learn asks for
class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A recurrent text classifier, combined with n-grams, as a scikit-learn estimator.

    `X` is a sequence of N texts (str), `y` one of as many labels, all str, int or bool; predictions have the type of
    the labels. What is None is chosen by `fit` as `chargen train --task classify` does. With `steps` or `epochs`,
    and without `minutes`, the same texts and parameters give the same classifier.

    Args:
        minutes, epochs, steps: Limits of the training; the one reached first counts. Without any: 3 minutes, or less
            where few epochs take less.
        val_fraction: Share of each label's texts that is held out to choose the weights and to calibrate the
            probabilities; by default a fifth, less of many. A label's only text is never held out.
        tokenizer: char, byte, bpe or unigram.
        vocab_size: Its symbols.
        min_frequency: Characters that occur less often are unknown.
        size: tiny, small, medium or large, where the next three are None.
        cell: gru, lstm, rnn or rnn-relu.
        num_layers, hidden_size, embedding_size: Recurrent layers, units per layer and direction, embedding size.
        bidirectional: Read texts from both ends.
        pooling: final, mean, max or concat: how outputs become one vector a text.
        max_length: Tokens of a text that are read.
        crop: Tokens of a text that a step of training reads, a random stretch; by default as many as there is
            time for.
        probe: Leave the encoder of `start_from` as it is, and fit a sparse logistic regression to its pooled outputs.
        adapt: Learn the language of the texts before their labels; by default where n-grams tell little.
        ngrams: Combine the network with an n-gram classifier.
        balance: Let every label count as much as the others, however many texts it has.
        metric: loss, accuracy or macro-f1: the weights of which it is best are kept.
        batch_size, shards: Texts a step, and the parts of it that are computed side by side.
        optimizer, learning_rate, weight_decay, clip: adamw or muon, its peak rate, its decay, largest gradient norm.
        dropout, dropout_input, dropout_embedding, weight_drop: Dropout (0 to below 1) after each layer, before the
            first, of whole symbols, of recurrent weights.
        patience: Evaluations without a better one before the training ends.
        start_from: A run, by name or path, whose encoder and tokenizer to begin with.
        seed: Of all that is drawn: the texts held out, weights, batches, dropout.
        device: cpu, cuda, …; auto.
        precision: fp32, bf16 or auto.
        out: Folder for the run, which the command line can use; None keeps it in memory only.
        overwrite: Replace a run that is in `out`.

    Attributes:
        classes_: The labels (K,), sorted.
        run_: The run in memory.
        summary_: How good it was on the texts held out, as in a run's `summary.json`.

    >>> classifier = TextClassifier(steps=200)
    >>> classifier.fit(["so good", "so bad"] * 50, ["pos", "neg"] * 50).predict(["good"])  # doctest: +SKIP
    array(['pos'], dtype='<U3')
    """

    minutes: float | None = None
    epochs: float | None = None
    steps: int | None = None
    val_fraction: float | None = None
    tokenizer: str | None = None
    vocab_size: int | None = None
    min_frequency: int | None = None
    size: str | None = None
    cell: str | None = None
    num_layers: int | None = None
    hidden_size: int | None = None
    embedding_size: int | None = None
    bidirectional: bool | None = None
    pooling: str | None = None
    max_length: int = 1000
    crop: int | None = None
    probe: bool = False
    adapt: bool | None = None
    ngrams: bool | None = None
    balance: bool = False
    metric: str | None = None
    batch_size: int | None = None
    shards: int | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    clip: float | None = None
    dropout: float | None = None
    dropout_input: float | None = None
    dropout_embedding: float | None = None
    weight_drop: float | None = None
    patience: int | None = None
    start_from: str | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    out: str | Path | None = None
    overwrite: bool = False

    @classmethod
    def from_run(cls, run: Run | str | Path | None = None) -> TextClassifier:
        """A fitted classifier from a run, a run's name or its path; the newest classifier's when None is named.

        Its parameters are the options that the run was trained with, but for `device` and `out`, so that a clone
        trains alike, learning the language of the texts first if the run did. ChargenError when there is no such
        run, or when it is damaged.
        """
        run = as_run(run, CLASSIFIER)
        recorded, defaults = run.options, cls().get_params()
        if recorded.get("adapt"):
            from chargen.training.replaying import options_before_language

            recorded = options_before_language(recorded)
        kept = recorded.keys() & defaults.keys() - {"device", *NO_OPTIONS}
        classifier = cls(**{name: recorded[name] for name in sorted(kept)})
        classifier._take(in_memory(run))
        return classifier

    def fit(self, X: Any, y: Any) -> TextClassifier:
        """Train on texts X (N,) and their labels y (N,).

        Raises ChargenError, which is a ValueError, for parameters out of range, texts that are no str, labels of
        other types than str, int and bool, unequal numbers of both, a single label, and labels that all have one
        text; and when `out` holds a run that may not be overwritten.
        """
        texts = as_texts(X)
        kind, labels = as_labels(y)
        if not texts:
            raise ChargenError("X is empty, with 0 sample(s): give texts to learn from")
        if len(texts) != len(labels):
            raise ChargenError(f"X has {len(texts):,} texts, but y {len(labels):,} labels: give one for each text")
        if len(set(labels)) == 1:
            raise ChargenError(f"y has one class only, {labels[0]!r}: a classifier needs at least two labels")
        self._take(self._train(LabelledSet(texts, list(map(str, labels)), label_type=kind)))
        return self

    def _train(self, examples: LabelledSet) -> RunInMemory:
        from chargen.training.events import Done
        from chargen.training.options import ClassifierOptions
        from chargen.training.start import start

        asked = {name: value for name, value in self.get_params().items() if name not in NO_OPTIONS}
        options = ClassifierOptions(inputs=(), **asked)
        with tempfile.TemporaryDirectory(prefix="chargen-") as temporary:
            path = Path(temporary) / "run" if self.out is None else Path(self.out)
            for event in start(options, path, overwrite=self.overwrite, examples=examples):
                if isinstance(event, Done):
                    return in_memory(event.run)
        raise AssertionError("a training ends with Done")

    def _take(self, run: RunInMemory) -> None:
        """Become the classifier of a run."""
        read = READ_LABEL[run.data(LabelledRecord).label_type]
        labels = list(map(read, run.labels()))
        order = sorted(range(len(labels)), key=labels.__getitem__)
        self.run_, self.summary_ = run, run.summary()
        self._labeller: Labeller | None = Labeller(run, self.device)
        self._labels, self._order = labels, order  # those of the run in its own order, and their order here
        self.classes_ = np.array([labels[i] for i in order])

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities (N, K) of the labels, in the order of `classes_`, of texts X (N,); rows sum to 1."""
        probs: npt.NDArray[np.float64] = self._own_labeller().probabilities(as_texts(X))[:, self._order]
        return probs

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest label (N,) of each of texts X (N,)."""
        chosen = self.predict_proba(X).argmax(axis=1)  # says so where it is not fitted
        return np.asarray(self.classes_[chosen])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy on texts X (N,) of labels y (N,)."""
        return float(super().score(X, np.array(as_labels(y)[1]), sample_weight))

    def classify(self, texts: Any) -> list[Verdict]:
        """The label of each text (N,), its probability, and that of every label."""
        labeller = self._own_labeller()
        own = dict(zip(labeller.labels, self._labels, strict=True))
        verdicts = labeller.classify(as_texts(texts))
        return [
            verdict._replace(
                label=own[verdict.label],
                probabilities={own[label]: share for label, share in verdict.probabilities.items()},
            )
            for verdict in verdicts
        ]

    def embed(self, texts: Any) -> npt.NDArray[np.float32]:
        """Each text (N,) as a vector (N, D): the network's outputs, pooled, as its head reads them.

        D is `hidden_size`, twice that when bidirectional, and three times as much with pooling concat. A text's
        vector does not depend on the others; the n-grams have no part in it.
        """
        return self._own_labeller().embed(as_texts(texts))

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the run's folder, for `chargen.load` and the command line; only the training state is left out.

        ChargenError when something is there already and `overwrite` is not asked for.
        """
        check_is_fitted(self)
        write_run(self.run_, Path(path), overwrite=overwrite)

    def _own_labeller(self) -> Labeller:
        check_is_fitted(self)
        if self._labeller is None:
            self._labeller = Labeller(self.run_, self.device)
        return self._labeller

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classes_")

    def __getstate__(self) -> dict[str, Any]:
        return without_models(super().__getstate__())

    def __sklearn_tags__(self) -> Any:
        tags = tags_of_texts(super().__sklearn_tags__())
        tags.non_deterministic = self.minutes is not None or self.steps is self.epochs is None
        return tags
