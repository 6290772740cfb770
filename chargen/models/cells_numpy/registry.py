"""All layers in NumPy by the name of their cell. A cell without a row here runs in torch alone."""

from __future__ import annotations

from collections.abc import Mapping

from chargen.models.cells_numpy.fused import GRULayer, LSTMLayer, ReluLayer, TanhLayer
from chargen.models.cells_numpy.layer import Array, Layer
from chargen.models.cells_numpy.lstms import GridLSTMLayer, MogrifierLayer, MultiplicativeLSTMLayer
from chargen.models.cells_numpy.parallel import MinGRULayer, MinLSTMLayer, QRNNLayer
from chargen.models.config import EncoderConfig

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


def build_layers(config: EncoderConfig, weights: Mapping[str, Array], stack: str) -> list[Layer]:
    """Build the layers of a stack.

    Args:
        config: Its cell is one of LAYERS.
        weights: By name, as torch models store them.
        stack: One of `config.stacks`.

    Returns:
        The layers, the first one first.
    """
    own = [_of_layer(weights, f"encoder.{stack}.{number}.") for number in range(config.num_layers)]
    shared = {name: own[0][name] for name in config.shared}
    return [LAYERS[config.cell](shared | of_layer) for of_layer in own]


def _of_layer(weights: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
