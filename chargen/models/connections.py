"""What lies between the layers of a stack: layer normalisation, residual and highway connections.

Shapes: I inputs, H outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Connections(nn.Module):
    """Layer normalisation of what each layer reads and of the last outputs; and paths around the layers.

    A path leads around every layer whose inputs are as wide as its outputs, so around the first one only if the
    embedding is as wide.

    - `none`: outputs = layer(inputs).
    - `residual`: outputs = inputs + layer(inputs) (He et al. 2015, arXiv:1512.03385).
    - `highway`: outputs = t·layer(inputs) + (1 - t)·inputs, with t = sigmoid(W·inputs + b) (Srivastava et al. 2015,
      arXiv:1505.00387; in recurrent stacks Zhang et al. 2015, arXiv:1510.08983).

    Inputs are normalised within the path, as in pre-norm transformers; layer normalisation: Ba et al. 2016,
    arXiv:1607.06450.

    >>> import torch
    >>> residual = Connections("residual", False, input_sizes=[3, 4], output_size=4)
    >>> residual.connect(1, torch.ones(1, 4), torch.ones(1, 4)).tolist()
    [[2.0, 2.0, 2.0, 2.0]]
    """

    def __init__(self, kind: str, layer_norm: bool, input_sizes: Sequence[int], output_size: int) -> None:
        """Set up.

        Args:
            kind: `none`, `residual` or `highway`.
            layer_norm: Whether to normalise.
            input_sizes: I of each layer.
            output_size: H.
        """
        super().__init__()
        self.kind = kind
        self.around = [size == output_size for size in input_sizes]  # layers with a path around them
        self.norms = nn.ModuleList(nn.LayerNorm(size) for size in (*input_sizes, output_size) if layer_norm)
        self.highways = nn.ModuleDict(
            {
                str(number): _transform_gate(output_size)
                for number, has_path in enumerate(self.around)
                if kind == "highway" and has_path
            }
        )

    def normed(self, number: int, values: Tensor) -> Tensor:
        """What layer `number` reads (…, I), or after the last layer the outputs (…, H)."""
        if not len(self.norms):
            return values
        result: Tensor = self.norms[number](values)
        return result

    def connect(self, number: int, below: Tensor, outputs: Tensor) -> Tensor:
        """What goes on from layer `number` (…, H), given its inputs (…, I) before normalisation and its outputs."""
        if self.kind == "none" or not self.around[number]:
            return outputs
        if self.kind == "residual":
            return below + outputs
        t: Tensor = self.highways[str(number)](below).sigmoid()
        return below + t * (outputs - below)


PLAIN = Connections("none", False, input_sizes=[], output_size=0)


def _transform_gate(size: int) -> nn.Linear:
    """The weights of t, whose bias begins at -1, so that at first most of the inputs go on."""
    gate = nn.Linear(size, size)
    nn.init.xavier_uniform_(gate.weight)
    nn.init.constant_(gate.bias, -1.0)
    return gate
