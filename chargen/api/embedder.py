"""Texts as vectors by a trained run, as scikit-learn calls it."""

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
    """Texts as vectors by a trained run, for scikit-learn's Pipelines.

    Args:
        run: A run, its name or its path; None: the newest. Language models give the mean of their outputs
            (`TextWriter.embed`), classifiers what their head reads (`TextClassifier.embed`).

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> model = make_pipeline(TextEmbedder("book"), LogisticRegression())
    """

    def __init__(self, run: Run | str | Path | None = None) -> None:
        self.run = run

    def fit(self, X: Any = None, y: Any = None) -> TextEmbedder:
        """Load the run; nothing is learned from X (N,). ChargenError when there is no such run."""
        if X is not None:
            as_texts(X)
        self.run_ = in_memory(as_run(self.run))
        self._model: TextWriter | Labeller | None = _embedding_model(self.run_)
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float32]:
        """The vectors (N, D), float32, of texts X (N,); none depends on the others."""
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
