"""The encoder: an embedding and a stack of recurrent layers, shared by language models and classifiers.

Shapes: T steps, B streams, E embedding, H hidden. State goes in and comes out; nothing is remembered.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import dropout

from chargen.models.cells.registry import CELLS
from chargen.models.config import EncoderConfig
from chargen.models.dropout import NO_MASKS, Dropout, Masks, masked
from chargen.models.stack import Stack, StackState, read_both_ways


class Encoder(nn.Module):
    """Embedding and recurrent stack; bidirectional ones read every layer from both ends."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        cell = CELLS[config.cell]
        sizes = [config.embedding_size] + [config.output_size] * (config.num_layers - 1)
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.layers = Stack(cell(size, config.hidden_size) for size in sizes)
        self.backward_layers = Stack(cell(size, config.hidden_size) for size in sizes if config.bidirectional)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.layers.initialise()
        self.backward_layers.initialise()

    def initial_state(self, batch: int) -> StackState:
        """The zero state of `batch` streams."""
        return self.layers.initial_state(batch)

    def draw_masks(self, fractions: Dropout, batch: int) -> Masks:
        """Masks for one step of `batch` streams, drawn by torch's global generator."""
        config = self.config

        def draw(fraction: float, *shape: int) -> Tensor | None:
            return dropout(self.embedding.weight.new_ones(shape), fraction) if fraction else None

        return Masks(
            draw(fractions.embedding, config.vocab_size, 1),
            draw(fractions.input, 1, batch, config.embedding_size),
            tuple(draw(fractions.between, 1, batch, config.output_size) for _ in self.layers[1:]),
            draw(fractions.output, 1, batch, config.output_size),
            tuple(
                draw(fractions.recurrent, *getattr(layer, layer.spec.recurrent).shape)
                if layer.spec.recurrent
                else None
                for layer in [*self.layers, *self.backward_layers]
            ),
        )

    def forward(
        self, ids: Tensor, state: StackState | None = None, lengths: Tensor | None = None, masks: Masks = NO_MASKS
    ) -> tuple[Tensor, StackState]:
        """Read ids.

        Args:
            ids: (T, B).
            state: Before the first step; None: zeros.
            lengths: Steps (B,) that are each stream's own. Only the way back needs to know, since it starts there.
            masks: Of the same B streams, as `draw_masks` gives them; none outside of training.

        Returns:
            Outputs (T, B, H), or (T, B, 2·H) when bidirectional, and the state of the way forwards after all T steps.
        """
        state = state or self.initial_state(ids.shape[1])
        inputs = masked(self._embed(ids, masks), masks.input)  # (T, B, E)
        if len(self.backward_layers):
            both = (self.layers, self.backward_layers)
            outputs, after = read_both_ways(*both, inputs, state, lengths, masks.between, masks.recurrent)
        else:
            outputs, after = self.layers(inputs, state, masks.between, masks.recurrent)
        return masked(outputs, masks.output), after

    def step(self, ids: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """Outputs (B, H) and the next state after one step of ids (B,), without dropout and forwards only."""
        outputs: Tensor = self.embedding(ids)
        return self.layers.step(outputs, state)

    def _embed(self, ids: Tensor, masks: Masks) -> Tensor:
        weight = self.embedding.weight
        return nn.functional.embedding(ids, weight if masks.embedding is None else weight * masks.embedding)
