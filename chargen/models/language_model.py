"""The language model: which symbol comes next."""

from __future__ import annotations

from torch import Tensor, nn

from chargen.models.config import LanguageModelConfig
from chargen.models.dropout import NO_MASKS, Masks
from chargen.models.encoder import Encoder
from chargen.models.stack import StackState


class LanguageModel(nn.Module):
    """An encoder, and the projection of its outputs to a score for every symbol."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.projection = nn.Linear(config.encoder.hidden_size, config.encoder.vocab_size)
        nn.init.xavier_uniform_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        if config.tied:
            self.projection.weight = self.encoder.embedding.weight

    def forward(
        self, ids: Tensor, state: StackState | None = None, masks: Masks = NO_MASKS
    ) -> tuple[Tensor, StackState]:
        """Logits (T, B, V) of what follows each of ids (T, B), and the state after them."""
        outputs, state = self.encoder(ids, state, masks=masks)
        return self.projection(outputs), state

    def step(self, ids: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """Logits (B, V) of what follows ids (B,), and the next state."""
        outputs, state = self.encoder.step(ids, state)
        return self.projection(outputs), state
