"""A trained language model, as `chargen.load` returns it."""

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
from chargen.models.units import Clamps
from chargen.runs.folder import Run
from chargen.text.labelled import batches_by_length
from chargen.text.records import TextRecord

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chargen.api.keywords import SamplingKeywords, WritingKeywords

EMBEDDING_BATCH = 32  # texts
PREVIEW_LENGTH = 160  # characters shown while a model trains


class TextWriter:
    """A trained language model that writes, scores and embeds text.

    Attributes:
        tokenizer: Turns text into ids and back.
        engine: Runs the network, in NumPy.
        documents: Whether the model was trained on documents, which end, rather than on one stream of text.
    """

    def __init__(self, run: Run) -> None:
        """Load the model of a run.

        Args:
            run: A run, as `runs.search.find_run` returns it.

        Raises:
            ChargenError: The run is not of a language model, or is damaged.
        """
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
        clamp: Clamps | None = None,
        **sampling: Unpack[SamplingKeywords],
    ) -> Iterator[str]:
        """Continue a prompt, piece by piece.

        Args:
            prompt: How the text begins; not repeated in the pieces.
            length: Most characters to write.
            seed: The same seed gives the same text; None: a new seed each time.
            stop: Stop before this text, or before any of several.
            allow: Write only these characters; None: all.
            forbid: Write none of these characters.
            clamp: Values at which to hold units of the layers' outputs, by layer and unit, counted from 0:
                {(1, 42): 0.9}. They are held from the first character that is read, so in the prompt too.
            **sampling: The fields of `Sampling`, such as temperature and top_p.

        Returns:
            An iterator over pieces of text, each yielded as soon as it is drawn.

        Raises:
            ChargenError: A setting is out of range, there is no unit to clamp, or the model never saw a character of
                the prompt.
        """
        check_names(sampling, [field.name for field in fields(Sampling)])
        allow = as_declared("allow", "str | None", allow)
        pieces = generate(
            self.engine.clamped(clamp) if clamp else self.engine,
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
        """Continue a prompt, and return the whole text.

        Args:
            prompt: How the text begins.
            **options: The other arguments of `stream`.

        Returns:
            The prompt and its continuation.

        Raises:
            ChargenError: As for `stream`.

        >>> chargen.load("book").generate("Once", length=80, seed=0)  # doctest: +SKIP
        """
        return prompt + "".join(self.stream(prompt, **options))

    def score(self, text: str) -> Score:
        """Score a text token by token.

        Args:
            text: A whole document, or a stream that begins after a line break. Characters that the model never saw
                are scored as the unknown token.

        Returns:
            The ids (T,) of the tokens and the log-probability (T,) of each, in nats.
        """
        return score(self.engine, self.tokenizer, as_declared("text", "str", text), documents=self.documents)

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed texts as vectors: the mean of the last layer's outputs over the tokens.

        Args:
            texts: N texts of any length, read as in `score`.

        Returns:
            Vectors (N, H), each independent of the other texts; zeros for an empty text.

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
        for chosen in batches_by_length(texts, EMBEDDING_BATCH):
            ids = [self.tokenizer.encode(texts[i]) for i in chosen]
            vectors[chosen] = self.engine.mean_outputs(ids, self.engine.select(state, np.zeros_like(chosen)))
        return vectors


def preview(run: Run) -> str:
    """Write a short text with the weights that a run has now, to show while it trains."""
    return TextWriter(run).generate(length=PREVIEW_LENGTH, seed=0)
