"""A run's language model, ready to write: what `chargen.load` gives for one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from chargen.declared import as_declared, check_names
from chargen.errors import ChargenError
from chargen.generation.constraints import start_ids, token_bias
from chargen.generation.engines.choice import choose_engine
from chargen.generation.generate import generate
from chargen.generation.samplers import Sampling
from chargen.generation.scoring import Score, score
from chargen.models.config import LanguageModelConfig
from chargen.runs.folder import Run
from chargen.text.labelled import batches_by_length
from chargen.text.records import TextRecord

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chargen.api.keywords import SamplingKeywords, WritingKeywords

EMBEDDED_AT_ONCE = 32  # texts
PREVIEW_LENGTH = 160  # characters shown while a model trains


class TextWriter:
    """A trained language model that writes text and tells how likely a text is."""

    def __init__(self, run: Run) -> None:
        """`run`: of a language model, as `runs.search.find_run` gives it; ChargenError when it is damaged."""
        config = run.model_config(LanguageModelConfig)
        self.tokenizer = run.tokenizer()
        self.engine = choose_engine(config, run.weights())
        self.documents = run.data(TextRecord).framed

    def stream(
        self,
        prompt: str = "",
        *,
        length: int = 500,
        seed: int | None = None,
        stop: str | Sequence[str] = (),
        allow: str | None = None,
        forbid: str = "",
        **sampling: Unpack[SamplingKeywords],
    ) -> Iterator[str]:
        """Continue a prompt, piece by piece.

        Args:
            prompt: What the text begins with; not among the pieces.
            length: Most characters to write.
            seed: The same seed gives the same text; None: another each time.
            stop: A text that ends it, or several.
            allow: The only characters to write; None: all.
            forbid: Characters not to write.
            **sampling: The fields of `Sampling`, such as temperature and top_p.

        Returns:
            Pieces of text, as they are drawn.

        Raises:
            ChargenError: A setting is out of range, or the model never saw a character of the prompt.
        """
        check_names(sampling, [field.name for field in fields(Sampling)])
        allow = as_declared("allow", "str | None", allow)
        pieces = generate(
            self.engine,
            self.tokenizer,
            as_declared("prompt", "str", prompt),
            length=as_declared("length", "int", length),
            sampling=Sampling(**sampling),
            bias=token_bias(self.tokenizer, allow=allow, forbid=as_declared("forbid", "str", forbid)),
            seed=as_declared("seed", "int | None", seed),
            stop=as_declared("stop", "tuple[str, ...]", stop),
            documents=self.documents,
            scored=False,
        )
        return (piece.text for piece in pieces)

    def generate(self, prompt: str = "", **options: Unpack[WritingKeywords]) -> str:
        """The whole text, prompt included; arguments and errors are those of `stream`.

        >>> chargen.load("book").generate("Once", length=80, seed=0)  # doctest: +SKIP
        """
        return prompt + "".join(self.stream(prompt, **options))

    def score(self, text: str) -> Score:
        """How likely the model finds each symbol of a text, in nats."""
        return score(self.engine, self.tokenizer, as_declared("text", "str", text), documents=self.documents)

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Each text as a vector: the mean of the last layer's outputs after each of its symbols.

        Args:
            texts: Texts of any lengths, read as whole documents or from after a line break, as in `score`;
                characters that the model never saw as the unknown symbol.

        Returns:
            Vectors (texts, hidden size); zeros for an empty text. None depends on the others.

        >>> writer = chargen.load("book")  # doctest: +SKIP
        >>> writer.embed(["Once upon a time", "The end"]).shape  # doctest: +SKIP
        (2, 256)
        """
        if isinstance(texts, str):
            raise ChargenError("texts is a single text, but must be a sequence of texts: put it into a list")
        texts = as_declared("texts", "tuple[str, ...]", texts)
        vectors = np.zeros((len(texts), self.engine.output_size), np.float32)
        before = start_ids(self.tokenizer, self.documents, line_break=True)
        state = self.engine.start(1)
        if len(before):
            _, state = self.engine.read(before[:, None], state)
        for chosen in batches_by_length(texts, EMBEDDED_AT_ONCE):
            ids = [self.tokenizer.encode(texts[i]) for i in chosen]
            vectors[chosen] = self.engine.mean_outputs(ids, self.engine.select(state, np.zeros_like(chosen)))
        return vectors


def preview(run: Run) -> str:
    """A short text by the run's weights as they are now."""
    return TextWriter(run).generate(length=PREVIEW_LENGTH, seed=0)
