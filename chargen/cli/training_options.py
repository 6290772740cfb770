"""The options of `chargen train`, in the order in which its help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chargen.cli.completion import CellName, Input, RunName, Task
from chargen.kinds import LANGUAGE_MODEL

GROUPS = {  # of options, under the headings that the help gives them
    "Run": ("task", "out", "overwrite", "resume", "start_from", "config"),
    "Budget": ("minutes", "epochs", "steps", "patience"),
    "Text": (
        *("val", "val_fraction", "tokenizer", "vocab_size", "min_frequency", "encoding", "documents"),
        *("text_column", "label_column", "skip_unlabelled"),
    ),
    "Model": (
        *("size", "cell", "num_layers", "hidden_size", "embedding_size", "tied"),
        *("layer_norm", "connections", "tied_layers", "rounds", "rank"),
    ),
    "Classifiers": (
        *("bidirectional", "pooling", "max_length", "crop", "ngrams", "adapt", "probe", "balance", "metric"),
    ),
    "Optimization": (
        *("batch_size", "shards", "sequence_length", "optimizer", "learning_rate", "weight_decay", "clip"),
        *("dropout", "dropout_input", "dropout_embedding", "weight_drop", "activation_reg", "temporal_reg"),
        "seed",
    ),
    "Device and output": ("device", "precision", "log", "quiet"),
}
OPTIONS = (
    click.argument("inputs", type=Input(), metavar="[INPUT]...", nargs=-1),
    click.option("--task", type=Task(), help=f"What to train.  [default: {LANGUAGE_MODEL}]"),
    click.option(
        "-o", "--out", type=click.Path(path_type=Path), help="Folder for the run.  [default: checkpoints/<input>]"
    ),
    click.option("--overwrite", is_flag=True, help="Replace the run that is in the folder."),
    click.option("--resume", is_flag=True, help="Continue a run; with a larger budget, also a finished one."),
    click.option(
        "--from",
        "start_from",
        type=RunName(),
        metavar="RUN",
        help="Start from the encoder and tokenizer of another run.",
    ),
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="Take the options from a run's folder or config.json; options that are typed override them.",
    ),
    click.option(
        "--minutes", type=float, help="Train for this many minutes.  [default: 3, if no other limit is set]"
    ),
    click.option(
        "--epochs", type=float, help="Most passes over the text.  [default: chosen by the length of the text]"
    ),
    click.option(
        "--steps",
        type=int,
        help="Most updates of the weights; the same options, --shards included, then give the same weights.",
    ),
    click.option(
        "--val",
        type=Input(),
        multiple=True,
        metavar="INPUT",
        help="Validate on this text instead of part of the input; repeatable.",
    ),
    click.option(
        "--val-fraction",
        type=float,
        help="Fraction of the input to hold out for validation.  [default: the last 0.1; of labelled texts 0.2, or "
        "less if there are many]",
    ),
    click.option(
        "--tokenizer",
        type=click.Choice(["char", "byte", "bpe", "unigram"]),
        help="What a token is.  [default: char; for classifiers unigram, if most words of held-out texts are known]",
    ),
    click.option(
        "--vocab-size",
        type=int,
        help="Most tokens in the vocabulary.  [default: all characters, or as many pieces as suit the text]",
    ),
    click.option(
        "--min-frequency", type=int, help="Characters that occur less often become the unknown token.  [default: 1]"
    ),
    click.option("--encoding", help="Encoding of the text.  [default: utf-8]"),
    click.option(
        "--documents",
        type=click.Choice(["line", "blank-line", "file", "jsonl"]),
        help="Train on separate documents: one per line, up to each blank line, one per file, or one per JSON line.  "
        "[default: one stream of text]",
    ),
    click.option(
        "--text-column",
        multiple=True,
        help="Column of the texts in tables and JSON lines; repeatable for classifiers, which join the columns.",
    ),
    click.option("--label-column", help="Column of the labels; needed if several columns fit equally well."),
    click.option(
        "--skip-unlabelled",
        is_flag=True,
        default=None,
        help="Leave out texts without label, instead of refusing them.",
    ),
    click.option(
        "--size",
        type=click.Choice(["auto", "tiny", "small", "medium", "large"]),
        help="Size of the network.  [default: auto, which suits budget and device]",
    ),
    click.option("--cell", type=CellName(), help="Recurrent cell.  [default: gru]"),
    click.option("--num-layers", type=int, help="Recurrent layers.  [default: by --size]"),
    click.option("--hidden-size", type=int, help="Units per layer.  [default: by --size]"),
    click.option("--embedding-size", type=int, help="Embedding size.  [default: by --size]"),
    click.option("--tied/--untied", default=None, help="Use one matrix for the embedding and the output projection."),
    click.option(
        "--layer-norm/--no-layer-norm", default=None, help="Normalise what each layer reads, and the last outputs."
    ),
    click.option(
        "--connections", type=click.Choice(["none", "residual", "highway"]), help="Paths around the layers."
    ),
    click.option(
        "--tied-layers/--untied-layers", default=None, help="Let the layers of a Grid LSTM share their weights."
    ),
    click.option("--rounds", type=int, help="Rounds of a Mogrifier.  [default: 5]"),
    click.option("--rank", type=int, help="Rank of a Mogrifier's scaling matrices; 0: full.  [default: 0]"),
    click.option("--bidirectional/--unidirectional", default=None, help="Read texts from both ends."),
    click.option(
        "--pooling",
        type=click.Choice(["final", "mean", "max", "concat"]),
        help="How the outputs of all steps become one vector per text.  [default: max; mean with --probe]",
    ),
    click.option("--max-length", type=int, help="Most tokens to read of a text.  [default: 1000]"),
    click.option(
        "--crop",
        type=int,
        help="Most tokens that a training step reads of a text, from a random position on.  [default: as many as "
        "there is time for]",
    ),
    click.option(
        "--ngrams/--no-ngrams",
        default=None,
        help="Combine the network with an n-gram classifier.  [default: --ngrams]",
    ),
    click.option(
        "--adapt/--no-adapt",
        default=None,
        help="Learn the language of the texts before their labels.  [default: if n-grams alone tell little]",
    ),
    click.option(
        "--probe",
        is_flag=True,
        default=None,
        help="Keep the encoder of --from as it is, and fit a sparse logistic regression to its outputs.",
    ),
    click.option(
        "--balance", is_flag=True, default=None, help="Give all labels the same weight, however many texts each has."
    ),
    click.option(
        "--metric",
        type=click.Choice(["loss", "accuracy", "macro-f1"]),
        help="Keep the weights that are best by this metric on held-out texts.  [default: loss]",
    ),
    click.option("--batch-size", type=int, help="Streams, or texts of a classifier, per step."),
    click.option(
        "--shards",
        type=int,
        help="Parts of a batch to compute in parallel; the same number gives the same weights on any number of "
        "cores.  [default: one per core, of at least 16 streams or texts]",
    ),
    click.option("--sequence-length", type=int, help="Truncated BPTT length."),
    click.option("--optimizer", type=click.Choice(["muon", "adamw"]), help="Optimizer.  [default: muon]"),
    click.option("--learning-rate", type=float, help="Peak learning rate."),
    click.option("--weight-decay", type=float, help="Decay of matrices per step, times the learning rate."),
    click.option("--clip", type=float, help="Clip gradients to this joint norm."),
    click.option("--dropout", type=float, help="Dropout between layers and after the last (0 to below 1)."),
    click.option("--dropout-input", type=float, help="Dropout before the first layer (0 to below 1)."),
    click.option("--dropout-embedding", type=float, help="Dropout of whole tokens of the vocabulary (0 to below 1)."),
    click.option("--weight-drop", type=float, help="Dropout of recurrent weights (0 to below 1)."),
    click.option("--activation-reg", type=float, help="Weight in the loss of the outputs' mean square."),
    click.option(
        "--temporal-reg", type=float, help="Weight in the loss of the mean square of the outputs' change per step."
    ),
    click.option("--patience", type=int, help="Stop after this many evaluations without improvement."),
    click.option("--seed", type=int, help="Seed of all random numbers.  [default: 0]"),
    click.option("--device", help="cpu, cuda, …  [default: auto, the GPU if there is one]"),
    click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16"]),
        help="Number format.  [default: auto, bf16 if it is measured to be faster]",
    ),
    click.option("--log", type=click.Choice(["tensorboard"]), help="Also write the metrics for TensorBoard."),
    click.option("-q", "--quiet", is_flag=True, help="Show only the last line."),
)


def training_options(command: Any) -> Any:
    """Give a click command the options of a training."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
