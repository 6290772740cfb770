"""The encoder: an embedding and a stack of recurrent layers, shared by language models and classifiers.

Shapes: T steps, B streams, V vocabulary, E embedding, H hidden. The state is an argument and a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

from torch import Tensor, nn
from torch.nn.functional import dropout

from chargen.models.cells.cell import Cell
from chargen.models.cells.registry import CELLS
from chargen.models.config import EncoderConfig
from chargen.models.connections import Connections
from chargen.models.dropout import NO_MASKS, Dropout, Masks, masked
from chargen.models.stack import Stack, StackState, Watch


class Encoder(nn.Module):
    """Embedding and recurrent layers; if bidirectional, every layer reads from both ends.

    >>> import torch
    >>> encoder = Encoder(EncoderConfig(vocab_size=10, hidden_size=5, bidirectional=True))
    >>> encoder(torch.zeros(4, 2, dtype=torch.long))[0].shape  # (T, B, 2·H)
    torch.Size([4, 2, 10])
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        make = partial(CELLS[config.cell], hidden_size=config.hidden_size, **config.cell_settings)
        sizes = config.input_sizes
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        layers = [make(size) for size in sizes]
        backward_layers = [make(size) for size in sizes if config.bidirectional]
        for cells in (layers, backward_layers):
            for cell in cells[1:]:
                for name in config.shared:
                    setattr(cell, name, getattr(cells[0], name))
        nn.init.normal_(self.embedding.weight, std=0.1)
        for cell in (*layers, *backward_layers):
            cell.initialise()
        self.layers, self.backward_layers = nn.ModuleList(layers), nn.ModuleList(backward_layers)
        self.connections = Connections(config.connections, config.layer_norm, sizes, config.output_size)

    @property
    def stack(self) -> Stack:
        """The layers and what lies between them; the weights are the encoder's."""
        layers, backward_layers = (cast("Sequence[Cell]", part) for part in (self.layers, self.backward_layers))
        return Stack(layers, backward_layers, self.connections)

    def initial_state(self, batch: int) -> StackState:
        """The zero state of `batch` streams."""
        return self.stack.initial_state(batch)

    def draw_masks(self, fractions: Dropout, batch: int) -> Masks:
        """Draw the masks of one training step of `batch` streams, by torch's global generator."""
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
                for layer in (*self.stack.layers, *self.stack.backward_layers)
            ),
        )

    def forward(
        self,
        ids: Tensor,
        state: StackState | None = None,
        lengths: Tensor | None = None,
        masks: Masks = NO_MASKS,
        watch: Watch | None = None,
    ) -> tuple[Tensor, StackState]:
        """Run the encoder over time. Before each BOS of `config.bos_id`, the state is set to zero.

        Args:
            ids: (T, B).
            state: Before the first step; None: zeros.
            lengths: Steps (B,) of each stream, the rest being padding; None: all T. Only backward layers need them.
            masks: From `draw_masks`, of the same B streams; none outside training.
            watch: See `Stack.run`.

        Returns:
            Outputs (T, B, H), or (T, B, 2·H) if bidirectional; and the state of the forward layers after T steps.
        """
        state = state or self.initial_state(ids.shape[1])
        inputs = masked(self._embed(ids, masks), masks.input)  # (T, B, E)
        resets = self.resets(ids)  # (T, B)
        resets = resets if resets is not None and resets.any() else None
        outputs, after = self.stack.run(inputs, state, lengths, masks, resets, watch)
        return masked(outputs, masks.output), after

    def step(self, ids: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """Run one step, forwards and without dropout: ids (B,) and a state to outputs (B, H) and the next state."""
        embedded: Tensor = self.embedding(ids)  # (B, E)
        return self.stack.step(embedded, state, self.resets(ids))

    def resets(self, ids: Tensor) -> Tensor | None:
        """Whether each id starts a document, so that the state is reset before it; None: no text has documents."""
        return None if self.config.bos_id is None else ids == self.config.bos_id

    def _embed(self, ids: Tensor, masks: Masks) -> Tensor:
        weight = self.embedding.weight
        return nn.functional.embedding(ids, weight if masks.embedding is None else weight * masks.embedding)
