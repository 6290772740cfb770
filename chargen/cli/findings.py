"""Print what an inspection found."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click
import numpy as np

from chargen.cli.output import echo, escape, visible
from chargen.cli.showing import AGAINST, FOR, colour_explanation
from chargen.errors import counted, shell_word
from chargen.inspection.findings import Findings
from chargen.inspection.gates import LayerGates
from chargen.inspection.probing import Finding
from chargen.models.units import Unit

DISTANCES = (1, 2, 5, 10, 20, 50, 100, 200)
MOST_SURPRISING = 5
SHOWN = 2000  # tokens of a coloured text
DECISIONS = 3
BEFORE = 20  # characters shown before a surprising one


def show(findings: Findings) -> None:
    """Print all findings, a section for each."""
    _show_text(findings)
    _show_properties(findings)
    _show_gates(findings.gates)
    _show_gradients(findings)
    _show_points(findings)
    _show_decisions(findings)
    for unit in findings.asked:
        _show_unit(findings, unit)
    _suggest(findings)


def _show_text(findings: Findings) -> None:
    passage, reading = findings.passage, findings.survey.reading
    echo(
        f"model  {findings.model}, {counted(findings.layers, 'layer')} of {counted(findings.units_per_layer, 'unit')}"
    )
    read = counted(passage.characters, "character"), counted(len(passage.symbols), "token")
    echo(f"text   {findings.source}, {', '.join(read)}")
    if reading is None:
        return
    echo(f"bits   {reading.bits.sum() / passage.characters:.4f} per character")
    echo("\nmost surprising")
    for place in np.argsort(-reading.bits, kind="stable")[:MOST_SURPRISING].tolist():
        before = "".join(passage.symbols[max(0, place - BEFORE) : place])
        expected = ", ".join(
            f"{_quoted(findings.vocabulary[token])} {probability:.0%}"
            for token, probability in zip(reading.alternatives[place], reading.probabilities[place], strict=True)
        )
        came = _quoted(passage.symbols[place])
        echo(f"{reading.bits[place]:5.1f} bits  {_quoted(before)} then {came}; expected {expected}")


def _show_properties(findings: Findings) -> None:
    if findings.properties:
        echo("\nwhich unit tells it best, measured on the half of the text that did not choose it")
        echo(f"{'':18}  {'unit':>7}  {'':3}  {'score':>6}  95% interval    untrained  last 3 characters")
        for found in findings.properties:
            echo(_property_line(found))
        if any(found.is_learned for found in findings.properties):
            echo("learned: above the untrained network's own interval; remembered: above what three characters tell")
    for why in dict.fromkeys(left_out.why for left_out in findings.left_out):
        names = ", ".join(left_out.name for left_out in findings.left_out if left_out.why == why)
        echo(f"left out ({why}): {names}")


def _property_line(found: Finding) -> str:
    best, kind = found.best, "R²" if found.is_number else "AUC"
    interval = f"{best.low:6.3f} – {best.high:6.3f}"
    verdict = "learned" if found.is_learned else ""
    verdict += " and remembered" if found.is_learned and found.is_remembered else ""
    scores = f"{best.score:6.3f}  {interval}  {found.untrained.score:9.3f}  {found.last_three:17.3f}"
    return f"{found.name:18}  {best.unit!s:>7}  {kind:3}  {scores}  {verdict}".rstrip()


def _show_gates(layers: Iterable[LayerGates]) -> None:
    echo("\ngates: share of time below 0.1 and above 0.9")
    for layer in layers:
        gates = "  ".join(f"{gate.name} {gate.left.mean():.0%} {gate.right.mean():.0%}" for gate in layer.gates)
        memory = ""
        if layer.memory is not None:
            low, median, high = np.quantile(layer.memory, (0, 0.5, 1))
            memory = f"  remembers {low:.1f} to {high:.1f} tokens, median {median:.1f}"
        echo(f"layer {layer.layer}  {gates or 'none'}{memory}")


def _show_gradients(findings: Findings) -> None:
    if not findings.curves:
        return
    echo("\ngradient of the loss by the state so many tokens before: median norm")
    titles = [visible(curve.title) for curve in findings.curves]
    width = max(map(len, titles))
    echo(" " * width + "".join(f"  {distance:>8}" for distance in DISTANCES))
    for title, curve in zip(titles, findings.curves, strict=True):
        median = curve.gradients.quartiles[1]
        row = "".join(f"  {median[distance - 1]:8.1e}" for distance in DISTANCES)
        echo(f"{title:<{width}}{row}")


def _show_points(findings: Findings) -> None:
    points = findings.points
    if points is None:
        return
    first, second = points.explained
    clusters = len(np.unique(points.clusters))
    echo(
        f"\nstates: {counted(len(points.texts), 'point')}, two components explain {first:.0%} and {second:.0%}, "
        f"{counted(clusters, 'cluster')}"
    )
    for number in range(clusters if clusters > 1 else 0):
        own = [text for text, cluster in zip(points.texts, points.clusters, strict=True) if cluster == number]
        echo(f"{len(own):>7,}  such as {_quoted(own[0][:60])}")


def _show_decisions(findings: Findings) -> None:
    if not findings.decisions:
        return
    units = ", ".join(f"{carrier.unit} ({carrier.pooling}) {carrier.weight:.2f}" for carrier in findings.carriers)
    echo(f"\nunits that weigh most: {units}")
    for decision in findings.decisions[:DECISIONS]:
        truth = f" (truth {visible(decision.truth)})" if decision.truth not in (None, decision.label) else ""
        _print_coloured(f"{visible(decision.label)}{truth}: {colour_explanation(decision.characters, visible)}")
        echo("   units " + ", ".join(f"{carrier.unit} {carrier.weight:+.2f}" for carrier in decision.units[:5]))


def _show_unit(findings: Findings, unit: Unit) -> None:
    """Print the text, green where a unit is above 0 and red where below."""
    values, top = findings.survey.unit(unit), float(np.abs(findings.survey.unit(unit)).max())
    echo(f"\nunit {unit}, from {values.min():.2f} to {values.max():.2f}, mean {values.mean():.2f}")
    parts = []
    for symbol, value in zip(findings.passage.symbols[:SHOWN], values[:SHOWN].tolist(), strict=True):
        shades = FOR if value > 0 else AGAINST
        colour = next((colour for least, colour in shades if value and abs(value) >= least * top), None)
        shown = visible(symbol)
        parts.append(click.style(shown, bg=colour, fg="black") if colour and shown.strip("\n") else shown)
    _print_coloured("".join(parts))


def _suggest(findings: Findings) -> None:
    """Name a unit to hold, of a language model: the one that stands out most from the untrained network's."""
    learned = [found for found in findings.properties if found.is_learned]
    if findings.survey.reading is None or not learned:
        return
    found = max(learned, key=lambda found: (found.is_remembered, found.best.low - found.untrained.high))
    values = findings.survey.unit(found.best.unit)
    value = float(np.quantile(values, 0.95 if found.best.rises else 0.05))
    command = f"chargen sample -m {shell_word(findings.model)} --clamp {found.best.unit}={value:.2f}"
    echo(f"\nhold the unit that tells '{found.name}': {command}")


def _print_coloured(line: str) -> None:
    """Print a line with its colours, which are for a terminal alone."""
    sys.stdout.write((line if sys.stdout.isatty() else click.unstyle(line)) + "\n")


def _quoted(text: str) -> str:
    return f"'{visible(escape(text))}'"
