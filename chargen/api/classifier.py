"""A scikit-learn classifier of texts, which takes lists, NumPy arrays, and pandas or polars Series of str.

Only `fit` imports torch. A pickle holds the files of a run as bytes, never a model.
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

# How to read a label from its text in a run, by the type of label that the run records.
PARSE_LABEL: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "bool": "True".__eq__}
OUTPUT_PARAMETERS = ("out", "overwrite")  # the parameters that are not fields of ClassifierOptions


@dataclass(kw_only=True, eq=False, repr=False)  # makes the constructor that scikit-learn expects
class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A scikit-learn classifier of texts: a recurrent network combined with n-grams.

    `X` is a sequence of N texts (str), and `y` a sequence of N labels, all str, int or bool; predictions have the
    type of the labels. `fit` chooses parameters that are None, as `chargen train --task classify` does. With `steps`
    or `epochs`, and without `minutes`, the same texts and parameters give the same classifier.

    Args:
        minutes, epochs, steps: Limits of the training, which ends at the first one reached. If all are None: 3
            minutes, or less if a few epochs take less.
        val_fraction: Fraction of each label's texts to hold out, to choose the weights and to calibrate the
            probabilities; None: 0.2, or less if there are many. A label's only text is never held out.
        tokenizer: char, byte, bpe or unigram.
        vocab_size: Most tokens in the vocabulary.
        min_frequency: Characters that occur less often become the unknown token.
        size: auto, tiny, small, medium or large; sets those of the next sizes that are None.
        cell: gru, lstm, rnn, or another that `chargen train --help` lists.
        num_layers, hidden_size, embedding_size: Recurrent layers, units per layer and direction, embedding size.
        layer_norm, connections: Layer normalisation; paths around layers (none, residual or highway).
        tied_layers: Whether the layers of a Grid LSTM share their weights.
        rounds, rank: Of a Mogrifier.
        bidirectional: Read texts from both ends.
        pooling: final, mean, max or concat: how the outputs of all steps become one vector per text.
        max_length: Most tokens to read of a text.
        crop: Most tokens that a training step reads of a text, from a random position on; None: as many as there is
            time for.
        probe: Keep the encoder of `start_from` as it is, and fit a sparse logistic regression to its pooled outputs.
        adapt: Learn the language of the texts before their labels; None: if n-grams alone tell little.
        ngrams: Combine the network with an n-gram classifier; None: yes.
        balance: Give all labels the same weight, however many texts each has.
        metric: loss, accuracy or macro-f1: keep the weights that are best by it on held-out texts.
        batch_size, shards: Texts per step, and the number of parts of a batch that are computed in parallel.
        optimizer: muon or adamw.
        learning_rate, weight_decay: Its peak learning rate, and the decay of matrices per step, times that rate.
        clip: Largest joint norm of the gradients.
        dropout, dropout_input, dropout_embedding, weight_drop: Dropout (0 to below 1) after each layer, before the
            first, of whole tokens of the vocabulary, and of recurrent weights.
        patience: Stop after this many evaluations without improvement.
        start_from: A run, by name or path, whose encoder and tokenizer to start from.
        seed: Seed of all random numbers: held-out texts, weights, batches, dropout.
        device: cpu, cuda, … or auto.
        precision: fp32, bf16 or auto.
        out: Folder for the run, which the command line can use; None: keep it in memory only.
        overwrite: Replace a run that is in `out`.

    Attributes:
        classes_: The labels (K,), sorted.
        run_: The run in memory.
        summary_: Metrics on the held-out texts, as in a run's `summary.json`.

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
    layer_norm: bool | None = None
    connections: str | None = None
    tied_layers: bool | None = None
    rounds: int | None = None
    rank: int | None = None
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
        """Make a fitted classifier from a run.

        Its parameters are the options of the run, except `device` and `out`, so that a clone trains in the same way,
        learning the language of the texts first if the run did.

        Args:
            run: A run, its name or its path; None: the newest classifier.

        Raises:
            ChargenError: There is no such run, it is no classifier, or it is damaged.
        """
        run = as_run(run, CLASSIFIER)
        recorded, defaults = run.options, cls().get_params()
        if recorded.get("adapt"):
            from chargen.training.replaying import options_before_language

            recorded = options_before_language(recorded)
        kept = recorded.keys() & defaults.keys() - {"device", *OUTPUT_PARAMETERS}
        classifier = cls(**{name: recorded[name] for name in sorted(kept)})
        classifier._set_run(in_memory(run))
        return classifier

    def fit(self, X: Any, y: Any) -> TextClassifier:
        """Train on labelled texts.

        Args:
            X: Texts (N,).
            y: Their labels (N,).

        Returns:
            The classifier itself.

        Raises:
            ChargenError: A subclass of ValueError. A parameter is out of range, `X` or `y` has elements of other
                types, their lengths differ, there is only one label, every label has only one text, or `out` holds a
                run and `overwrite` is not set.
        """
        texts = as_texts(X)
        label_type, labels = as_labels(y)
        if not texts:
            raise ChargenError("X is empty, with 0 sample(s): give texts to learn from")
        if len(texts) != len(labels):
            raise ChargenError(f"X has {len(texts):,} texts, but y {len(labels):,} labels: give one for each text")
        if len(set(labels)) == 1:
            raise ChargenError(f"y has one class only, {labels[0]!r}: a classifier needs at least two labels")
        self._set_run(self._train(LabelledSet(texts, list(map(str, labels)), label_type=label_type)))
        return self

    def _train(self, examples: LabelledSet) -> RunInMemory:
        from chargen.training.events import outcome
        from chargen.training.options import ClassifierOptions
        from chargen.training.start import start

        parameters = {name: value for name, value in self.get_params().items() if name not in OUTPUT_PARAMETERS}
        options = ClassifierOptions(inputs=(), **parameters)
        with tempfile.TemporaryDirectory(prefix="chargen-") as temporary:
            path = Path(temporary) / "run" if self.out is None else Path(self.out)
            return in_memory(outcome(start(options, path, overwrite=self.overwrite, examples=examples)).run)

    def _set_run(self, run: RunInMemory) -> None:
        """Set the fitted attributes from a run."""
        parse = PARSE_LABEL[run.data(LabelledRecord).label_type]
        labels = list(map(parse, run.labels()))
        order = sorted(range(len(labels)), key=labels.__getitem__)
        self.run_, self.summary_ = run, run.summary()
        self._labeller: Labeller | None = Labeller(run, self.device)
        self._labels, self._order = labels, order  # labels in the order of the run, and the indices that sort them
        self.classes_ = np.array([labels[i] for i in order])

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Predict the probability of every label.

        Args:
            X: Texts (N,).

        Returns:
            Probabilities (N, K), in the order of `classes_`; rows sum to 1.
        """
        probs: npt.NDArray[np.float64] = self._own_labeller().probabilities(as_texts(X))[:, self._order]
        return probs

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels.

        Args:
            X: Texts (N,).

        Returns:
            The likeliest label of each text (N,).
        """
        chosen = self.predict_proba(X).argmax(axis=1)  # raises NotFittedError, before classes_ is missed
        return np.asarray(self.classes_[chosen])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Measure the accuracy.

        Args:
            X: Texts (N,).
            y: Their true labels (N,).
            sample_weight: Weights of the texts (N,); None: all equal.
        """
        return float(super().score(X, np.array(as_labels(y)[1]), sample_weight))

    def classify(self, texts: Any) -> list[Verdict]:
        """Label texts, with the probability of every label.

        Args:
            texts: Texts (N,).

        Returns:
            One verdict per text (N,); labels have the type that the classifier was fitted with.
        """
        labeller = self._own_labeller()
        typed = dict(zip(labeller.labels, self._labels, strict=True))
        verdicts = labeller.classify(as_texts(texts))
        return [
            verdict._replace(
                label=typed[verdict.label],
                probabilities={typed[label]: prob for label, prob in verdict.probabilities.items()},
            )
            for verdict in verdicts
        ]

    def embed(self, texts: Any) -> npt.NDArray[np.float32]:
        """Embed texts as vectors: the pooled outputs of the network, which are the input of its head.

        Args:
            texts: Texts (N,).

        Returns:
            Vectors (N, D), each independent of the other texts and of the n-grams. D is `hidden_size`, doubled if
            bidirectional, and tripled with pooling concat.
        """
        return self._own_labeller().embed(as_texts(texts))

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the run to a folder, for `chargen.load` and the command line. It cannot be resumed from there.

        Args:
            path: The folder.
            overwrite: Replace a run that is in the folder.

        Raises:
            ChargenError: The folder holds something, and `overwrite` is not set.
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
