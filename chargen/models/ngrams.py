"""The n-gram classifier: a label's logit is a weighted sum of the n-grams that a text has, whatever their order.

It is what a recurrent classifier is compared with, and what it is combined with. Runs in NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chargen.errors import ChargenError
from chargen.text.ngrams import Floats, Vocabulary, count_ngrams, text_batches


@dataclass(frozen=True, eq=False)
class NgramClassifier:
    """Logistic regression on TF-IDF of n-grams. Shapes: N texts, F features, K labels."""

    vocabulary: Vocabulary
    weight: Floats  # (F, K)
    bias: Floats  # (K,)
    strange: float = 0.0  # a text of which a smaller share of n-grams is known is unlike those in training
    strength: float = 1.0  # of the regression: the inverse weight of its L2 penalty

    def judge(self, texts: Sequence[str]) -> tuple[Floats, Floats]:
        """Logits (N, K) of texts, and the share (N,) of each one's n-grams that are known, in one reading.

        Those of a text do not depend on the others.
        """
        logits = np.tile(self.bias, (len(texts), 1))
        familiarity = np.zeros(len(texts), np.float32)
        for part in text_batches(texts):
            counts = count_ngrams(texts[part])
            familiarity[part] = self.vocabulary.familiarity(counts, part.stop - part.start)
            owners, features, values = self.vocabulary.features(counts)
            if len(owners):
                firsts = np.flatnonzero(np.diff(owners, prepend=-1))
                sums = np.add.reduceat(self.weight[features] * values[:, None], firsts, axis=0)
                logits[part.start + owners[firsts]] += sums
        return logits, familiarity

    def logits(self, texts: Sequence[str]) -> Floats:
        """Logits (N, K) of texts."""
        return self.judge(texts)[0]

    def arrays(self) -> dict[str, np.ndarray]:
        """All that `of` needs, by name."""
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
        """The classifier whose `arrays` these are; ChargenError when they do not fit each other or the labels."""
        try:
            names = ("buckets", "rarity", "weight", "bias", "strange", "strength")
            buckets, rarity, weight, bias, strange, strength = (arrays[name] for name in names)
        except KeyError as error:
            raise ChargenError(f"the n-grams lack {error}: the run is damaged, train it again") from error
        features = len(buckets)
        for name, array, shape in (
            ("rarity", rarity, (features,)),
            ("weight", weight, (features, labels)),
            ("bias", bias, (labels,)),
            ("strange", strange, (1,)),
            ("strength", strength, (1,)),
        ):
            if array.shape != shape:
                raise ChargenError(
                    f"{name} of the n-grams has shape {array.shape}, not {shape}: the run is damaged, train it again"
                )
        return cls(Vocabulary(buckets, rarity), weight, bias, float(strange[0]), float(strength[0]))
