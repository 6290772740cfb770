"""All that an inspection finds, as plain records."""

from __future__ import annotations

from dataclasses import dataclass

from chargen.inspection.decisions import Carrier, Decision
from chargen.inspection.gates import LayerGates
from chargen.inspection.gradients import Gradients
from chargen.inspection.passage import Passage
from chargen.inspection.probing import Finding, LeftOut
from chargen.inspection.states import Points
from chargen.inspection.survey import Survey
from chargen.models.units import Unit


@dataclass(frozen=True, eq=False)
class Curve:
    """Gradients of a model, for comparison."""

    name: str
    is_trained: bool
    gradients: Gradients

    @property
    def title(self) -> str:
        """The name, and whether it is untrained."""
        return self.name if self.is_trained else f"{self.name}, untrained"


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found in a model."""

    model: str
    kind: str  # one of kinds.KINDS
    source: str  # of the text
    passage: Passage
    vocabulary: tuple[str, ...]  # what each token spells
    units_per_layer: int
    layers: int  # backward ones last
    survey: Survey
    properties: tuple[Finding, ...]
    left_out: tuple[LeftOut, ...]
    gates: tuple[LayerGates, ...]
    points: Points | None = None
    curves: tuple[Curve, ...] = ()  # of language models: its own, an untrained network's, and those to compare with
    decisions: tuple[Decision, ...] = ()  # of classifiers
    carriers: tuple[Carrier, ...] = ()  # of classifiers: the units that weigh most in the decisions about all texts
    asked: tuple[Unit, ...] = ()  # units that were asked for by name
    notes: tuple[str, ...] = ()  # sentences on what was chosen or could not be done
