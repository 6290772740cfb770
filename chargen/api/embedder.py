"""A scikit-learn transformer that turns texts into vectors with a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from chargen.api.checks import as_run, as_texts, tags_of_texts, without_models
from chargen.api.writer import TextWriter
from chargen.classification.labeller import Labeller
from chargen.kinds import kind_of
from chargen.runs.folder import Run
from chargen.runs.memory import in_memory


class TextEmbedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn texts into vectors with a trained run, as a step of a scikit-learn Pipeline.

    A language model gives the mean of its outputs (`TextWriter.embed`), a classifier the input of its head
    (`TextClassifier.embed`).

    Args:
        run: A run, its name or its path; None: the newest.

    Attributes:
        run_: The run in memory.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> model = make_pipeline(TextEmbedder("book"), LogisticRegression())
    """

    def __init__(self, run: Run | str | Path | None = None) -> None:
        self.run = run

    def fit(self, X: Any = None, y: Any = None) -> TextEmbedder:
        """Load the run; nothing is learned.

        Args:
            X: Texts (N,); only checked.
            y: Ignored.

        Raises:
            ChargenError: There is no such run, or `X` is no sequence of str.
        """
        if X is not None:
            as_texts(X)
        self.run_ = in_memory(as_run(self.run))
        self._model: TextWriter | Labeller | None = _embedding_model(self.run_)
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float32]:
        """Embed texts.

        Args:
            X: Texts (N,).

        Returns:
            Vectors (N, D), each independent of the other texts.
        """
        check_is_fitted(self)
        if self._model is None:
            self._model = _embedding_model(self.run_)
        vectors: npt.NDArray[np.float32] = self._model.embed(as_texts(X))
        return vectors

    @property
    def _n_features_out(self) -> int:
        return int(self.transform([""]).shape[1])

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "run_")

    def __getstate__(self) -> dict[str, Any]:
        return without_models(super().__getstate__())

    def __sklearn_tags__(self) -> Any:
        return tags_of_texts(super().__sklearn_tags__())


def _embedding_model(run: Run) -> TextWriter | Labeller:
    model: TextWriter | Labeller = kind_of(run.kind).get("embed")(run)
    return model
