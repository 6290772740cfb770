"""All layers in NumPy by the name of their cell. A cell without a row here runs in torch alone."""

from __future__ import annotations

from collections.abc import Mapping

from chargen.models.cells_numpy.fused import GRULayer, LSTMLayer, ReluLayer, TanhLayer
from chargen.models.cells_numpy.layer import Array, Layer
from chargen.models.cells_numpy.lstms import GridLSTMLayer, MogrifierLayer, MultiplicativeLSTMLayer
from chargen.models.cells_numpy.parallel import MinGRULayer, MinLSTMLayer, QRNNLayer

LAYERS: dict[str, type[Layer]] = {
    "lstm": LSTMLayer,
    "gru": GRULayer,
    "rnn": TanhLayer,
    "rnn-relu": ReluLayer,
    "mlstm": MultiplicativeLSTMLayer,
    "mogrifier": MogrifierLayer,
    "mingru": MinGRULayer,
    "minlstm": MinLSTMLayer,
    "qrnn": QRNNLayer,
    "grid-lstm": GridLSTMLayer,
}


def runs_in_numpy(cell: str) -> bool:
    """Whether NumPy can run a cell; torch can run any.

    >>> runs_in_numpy("gru")
    True
    """
    return cell in LAYERS


def build_layers(cell: str, weights: Mapping[str, Array], prefix: str) -> list[Layer]:
    """Build the layers of a stack.

    Args:
        cell: One of LAYERS.
        weights: By name, as torch models store them.
        prefix: Of the weights' names, before the layer's number: {prefix}.0.weight_ih_l0 and so on.

    Returns:
        The layers, the first one first; none if no name has the prefix.
    """
    layers: list[Layer] = []
    while own := _of_layer(weights, f"{prefix}.{len(layers)}."):
        layers.append(LAYERS[cell](own))
    return layers


def _of_layer(weights: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
