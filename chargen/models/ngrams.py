"""The n-gram classifier: each label's logit is a weighted sum of a text's n-grams, whatever their order.

It is the baseline of a recurrent classifier, and is combined with it. Runs in NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chargen.errors import ChargenError
from chargen.text.ngrams import BUCKET_BITS, Floats, Vocabulary, count_ngrams, text_batches


@dataclass(frozen=True, eq=False)
class NgramClassifier:
    """Logistic regression on TF-IDF of n-grams. Shapes: N texts, F features, K labels."""

    vocabulary: Vocabulary
    weight: Floats  # (F, K)
    bias: Floats  # (K,)
    strange: float = 0.0  # a text with a familiarity below this is unlike those in training
    strength: float = 1.0  # inverse weight of the L2 penalty

    def judge(self, texts: Sequence[str]) -> tuple[Floats, Floats]:
        """Compute logits (N, K), and familiarity (N,): the fraction of each text's n-grams that are known.

        The results of a text do not depend on the other texts.
        """
        logits = np.tile(self.bias, (len(texts), 1))
        familiarity = np.zeros(len(texts), np.float32)
        for part in text_batches(texts):
            counts = count_ngrams(texts[part])
            familiarity[part] = self.vocabulary.familiarity(counts, part.stop - part.start)
            text_indices, features, values = self.vocabulary.features(counts)
            if len(text_indices):
                starts = np.flatnonzero(np.diff(text_indices, prepend=-1))
                sums = np.add.reduceat(self.weight[features] * values[:, None], starts, axis=0)
                logits[part.start + text_indices[starts]] += sums
        return logits, familiarity

    def logits(self, texts: Sequence[str]) -> Floats:
        """Compute logits (N, K)."""
        return self.judge(texts)[0]

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that a run stores, by name."""
        return {
            "buckets": self.vocabulary.buckets,
            "rarity": self.vocabulary.idf,
            "weight": self.weight,
            "bias": self.bias,
            "strange": np.array([self.strange], np.float32),
            "strength": np.array([self.strength], np.float32),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, Any], labels: int) -> NgramClassifier:
        """Restore a classifier.

        Args:
            arrays: As the method `arrays` gave them.
            labels: K.

        Raises:
            ChargenError: An array is missing, or has a shape that does not fit the others or the labels.
        """
        try:
            names = ("buckets", "rarity", "weight", "bias", "strange", "strength")
            buckets, rarity, weight, bias, strange, strength = (arrays[name] for name in names)
        except KeyError as error:
            raise ChargenError(f"the n-grams lack {error}: the run is damaged, train it again") from error
        features = buckets.size  # its number of axes is compared below
        for name, array, shape, kind in (
            ("buckets", buckets, (features,), np.int32),
            ("rarity", rarity, (features,), np.float32),
            ("weight", weight, (features, labels), np.float32),
            ("bias", bias, (labels,), np.float32),
            ("strange", strange, (1,), np.float32),
            ("strength", strength, (1,), np.float32),
        ):
            if array.shape != shape or array.dtype != kind:
                raise ChargenError(
                    f"{name} of the n-grams has shape {array.shape} of {array.dtype}, not {shape} of "
                    f"{np.dtype(kind)}: the run is damaged, train it again"
                )
            if not np.isfinite(array).all():
                raise ChargenError(f"{name} of the n-grams is not finite: the run is damaged, train it again")
        if features and not (buckets[0] >= 0 and (np.diff(buckets) > 0).all() and buckets[-1] < 1 << BUCKET_BITS):
            raise ChargenError("the n-grams are not sorted by their hashes: the run is damaged, train it again")
        if (rarity <= 0).any() or not 0 <= strange[0] <= 1 or strength[0] <= 0:
            raise ChargenError("the n-grams have impossible numbers: the run is damaged, train it again")
        return cls(Vocabulary(buckets, rarity), weight, bias, float(strange[0]), float(strength[0]))
