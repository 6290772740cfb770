"""Trains a language model on labelled texts first, so that their classifier can start from its encoder."""

from __future__ import annotations

import json
from collections.abc import Generator
from itertools import count
from pathlib import Path

from chargen.errors import ChargenError, shell_word
from chargen.runs.folder import Run, is_run
from chargen.training.chosen import ChosenClassifierOptions
from chargen.training.classifier_recipes import language_options, options_after_language
from chargen.training.events import INTERRUPTED, Done, Event, Note, Step
from chargen.training.options import ClassifierOptions
from chargen.training.setup import Hooks
from chargen.training.start import start


def learn_language(
    path: Path, hooks: Hooks, *, texts: list[str], asked: ClassifierOptions, chosen: ChosenClassifierOptions
) -> Generator[Event, None, tuple[ClassifierOptions, Run] | None]:
    """Train a language model on the texts of a classifier, without their labels.

    Its run is written next to the classifier's, to a name that is still free, since nobody chose it. A file next to
    that keeps the texts, so that the run can be resumed.

    Args:
        path: The folder that the classifier's run will have.
        hooks: Callbacks.
        texts: The training texts.
        asked: The options requested for the classifier.
        chosen: The same with every choice made.

    Yields:
        The steps of the training.

    Returns:
        The options to prepare the classifier with and the language model's run, or None if it was interrupted.

    Raises:
        ChargenError: The language model cannot be trained.

    ULMFiT: Howard & Ruder 2018, arXiv:1801.06146.
    """
    names = (f"{path.name}-language{f'-{number}' if number > 1 else ''}" for number in count(1))
    candidates = ((path.with_name(name), path.with_name(f"{name}.jsonl")) for name in names)
    language, file = next(pair for pair in candidates if not any(map(Path.exists, pair)))
    yield Note(f"learning the language of the texts first, for {language} (--no-adapt leaves it out)")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    try:
        for event in start(language_options(chosen, str(file)), language, hooks=hooks):
            if isinstance(event, Done):
                if event.summary["stopped"] != INTERRUPTED:
                    return options_after_language(asked, str(event.run.path)), event.run
                source = shell_word(str(language))
                yield Note(f"no label is learned yet: when {source} is done, go on with --from {source}")
                yield event
            elif isinstance(event, Step):
                yield event
    except ChargenError as error:
        raise ChargenError(
            f"the language of the texts cannot be learned (--no-adapt leaves it out): {error}"
        ) from error
    finally:
        if not is_run(language):
            file.unlink(missing_ok=True)
    return None
