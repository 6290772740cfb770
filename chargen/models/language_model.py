"""The language model: predicts the next token.

Shapes: T steps, B streams, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor, nn

from chargen.models.config import LanguageModelConfig
from chargen.models.dropout import NO_MASKS, Masks
from chargen.models.encoder import Encoder
from chargen.models.stack import StackState


class LanguageModel(nn.Module):
    """An encoder, and the projection of its outputs to logits."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.projection = nn.Linear(config.encoder.output_size, config.encoder.vocab_size)
        nn.init.xavier_uniform_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        if config.tied:
            self.projection.weight = self.encoder.embedding.weight

    def forward(
        self, ids: Tensor, state: StackState | None = None, masks: Masks = NO_MASKS
    ) -> tuple[Tensor, StackState]:
        """Run the model over time.

        Args:
            ids: (T, B).
            state: Before the first step; None: zeros.
            masks: From `Encoder.draw_masks`; none outside training.

        Returns:
            Logits (T, B, V) for the token after each id, and the state after the last step.
        """
        outputs, state = self.encoder(ids, state, masks=masks)
        return self.projection(outputs), state

    def step(self, ids: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """Run one step: ids (B,) and a state to logits (B, V) for the next token and the next state."""
        outputs, state = self.encoder.step(ids, state)
        return self.projection(outputs), state
