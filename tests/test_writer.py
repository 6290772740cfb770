"""TextWriter: what it writes, how it scores and embeds, and what it refuses."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import SENTENCE, TOKENIZER, write_run, write_text
from trainings import run_of, small

import chargen
from chargen import ChargenError, TextWriter
from chargen.api.writer import EMBEDDING_BATCH, PREVIEW_LENGTH, preview
from chargen.evaluation.losses import text_loss
from chargen.models.config import ClassifierConfig, EncoderConfig, LanguageModelConfig
from chargen.models.language_model import LanguageModel
from chargen.runs.folder import Run, load_run
from chargen.text.tokenizers.char import CharTokenizer
from chargen.training.start import start


@pytest.fixture(scope="module")
def writer(text_run: str) -> TextWriter:
    return TextWriter(load_run(Path(text_run)))


@pytest.fixture(scope="module")
def of_documents(documents_run: str) -> TextWriter:
    return TextWriter(load_run(Path(documents_run)))


def test_load_gives_one_for_a_language_model(text_run: str, writer: TextWriter) -> None:
    loaded = chargen.load(text_run)
    assert isinstance(loaded, TextWriter)
    assert loaded.generate("ab", length=30, seed=1) == writer.generate("ab", length=30, seed=1)


def test_it_is_the_model_of_its_run_and_no_other(writer: TextWriter, tmp_path: Path) -> None:
    encoder = EncoderConfig(TOKENIZER.vocab_size, "gru", 1, 5, 4)
    other = TextWriter(write_run(tmp_path / "run", LanguageModelConfig(encoder), TOKENIZER))
    assert other.generate(length=100, seed=1) != writer.generate(length=100, seed=1)
    labels = write_run(tmp_path / "labels", ClassifierConfig(encoder, 2), TOKENIZER, labels=["x", "y"])
    with pytest.raises(ChargenError, match="is a classifier and writes no text"):
        TextWriter(labels)


# --- writing


@pytest.mark.parametrize(
    "settings", [{}, {"temperature": 0}, {"top_k": 3, "stop": "d"}, {"forbid": "\n", "length": 7}]
)
def test_stream_is_generate_in_pieces(writer: TextWriter, settings: dict[str, Any]) -> None:
    settings = {"length": 80, "seed": 4} | settings
    pieces = list(writer.stream("abc", **settings))
    assert writer.generate("abc", **settings) == "abc" + "".join(pieces)
    assert "".join(pieces) and all(isinstance(piece, str) for piece in pieces)


def test_a_stream_is_drawn_as_it_is_read(writer: TextWriter) -> None:
    pieces = writer.stream(length=10**9, seed=1)
    first = "".join(next(pieces) for _ in range(20))
    assert writer.generate(length=100, seed=1).startswith(first) and len(first) == 20


def test_a_seed_writes_the_same_text_and_another_or_none_another(writer: TextWriter) -> None:
    one, again, other, *drawn = (writer.generate(length=200, seed=seed) for seed in (1, 1, 2, None, None))
    assert one == again
    assert len({one, other, *drawn}) == 4


def test_length_counts_the_characters_after_the_prompt(writer: TextWriter) -> None:
    assert len(writer.generate("abc", length=17, seed=1)) == 3 + 17
    assert len(writer.generate(seed=1)) == 500


def test_a_prompt_decides_what_follows(writer: TextWriter) -> None:
    texts = {"".join(writer.stream(prompt, length=200, seed=1)) for prompt in ("", "a", "dd", "é-é-é")}
    assert len(texts) > 2


def test_stop_ends_a_text_and_is_not_written(writer: TextWriter) -> None:
    whole = writer.generate(length=300, seed=1)
    one, other = whole[40:42], whole[20:23]
    assert writer.generate(length=300, seed=1, stop=one) == whole[: whole.index(one)]
    ends = min(whole.index(one), whole.index(other))
    assert writer.generate(length=300, seed=1, stop=(one, other)) == whole[:ends]


def test_allow_and_forbid_are_characters(writer: TextWriter) -> None:
    assert set(writer.generate(length=200, seed=1, allow="ab\n")) == {"a", "b", "\n"}
    plain, without = (writer.generate(length=300, seed=1, forbid=forbid) for forbid in ("", "ab"))
    assert set("ab") <= set(plain) and not set("ab") & set(without)


def test_sampling_is_that_of_its_settings(writer: TextWriter) -> None:
    greedy = writer.generate(length=60, temperature=0)
    assert writer.generate(length=60, seed=3, top_k=1) == greedy
    assert writer.generate(length=60, seed=3, min_p=1.0) == greedy
    assert writer.generate(length=60, seed=3) != greedy


def test_a_document_ends_and_a_stream_does_not(writer: TextWriter, of_documents: TextWriter) -> None:
    ended = [of_documents.generate(length=1000, seed=seed) for seed in range(5)]
    assert all(len(text) < 1000 for text in ended) and len(set(ended)) > 1
    assert len(writer.generate(length=1000, seed=0)) == 1000


def test_a_preview_is_short_and_always_the_same(text_run: str, writer: TextWriter) -> None:
    shown = preview(load_run(Path(text_run)))
    assert shown == writer.generate(length=PREVIEW_LENGTH, seed=0) and len(shown) == PREVIEW_LENGTH


@pytest.mark.parametrize(
    ("prompt", "settings", "sentence"),
    [
        ("z", {}, "characters the model never saw, 'z'"),
        ("", {"length": 0}, "length is 0"),
        ("", {"temperature": -1.0}, "temperature is -1.0"),
        ("", {"top_p": 1.5}, "top-p is 1.5"),
        ("", {"temperature": 0, "top_k": 2}, "leave out one of the two"),
        ("", {"allow": ""}, "every token of the model is forbidden"),
        ("", {"allow": "ab", "forbid": "b"}, "both allowed and forbidden"),
        ("", {"forbid": "z"}, "no token of the model spells 'z'"),
        ("", {"stop": ""}, "stop"),
        ("", {"seed": -1}, "seed is -1"),
    ],
)
def test_what_cannot_be_written_is_refused(
    writer: TextWriter, prompt: str, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ChargenError, match=sentence):
        writer.generate(prompt, **settings)


def test_a_damaged_run_is_refused(tmp_path: Path) -> None:
    config = LanguageModelConfig(EncoderConfig(TOKENIZER.vocab_size, "gru", 1, 5, 4))
    run = write_run(tmp_path / "run", config, TOKENIZER)
    for name, sentence in (("model.safetensors", "holds no weights"), (TOKENIZER.file_name, "lacks tokenizer")):
        (run.path / name).rename(tmp_path / "away")
        with pytest.raises(ChargenError, match=sentence):
            TextWriter(run)
        (tmp_path / "away").rename(run.path / name)
    TextWriter(run)


# --- scores


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose begin and line break are learned."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARGEN_DATA", str(folder / "data"))
        return run_of(start(small(write_text(folder / "text.txt")), folder / "run"))


@pytest.mark.parametrize("length", [1, 30, 700])
def test_a_score_sums_to_the_nats_of_an_evaluation(trained: Run, length: int) -> None:
    writer, text = TextWriter(trained), (SENTENCE * 20)[:length]
    model = LanguageModel(trained.model_config(LanguageModelConfig))
    model.load_state_dict({name: torch.from_numpy(weight) for name, weight in trained.weights().items()})
    ids = trained.tokenizer().encode("\n" + text)  # a stream begins after a line break
    nats = text_loss(model, trained.tokenizer(), ids).nats
    scored = writer.score(text)
    assert -scored.log_probs.sum() == pytest.approx(nats, rel=1e-4)
    assert scored.ids.tolist() == ids[1:].tolist()


def test_a_score_is_what_greedy_writing_makes_likely(writer: TextWriter) -> None:
    likely = "".join(writer.stream("ab", length=40, temperature=0))
    found = writer.score("ab" + likely).log_probs[2:]
    for other in ("a" * 40, "\n" * 40, writer.generate(length=40, seed=1)):
        assert found.sum() > writer.score("ab" + other).log_probs[2:].sum()
    assert (found > -math.log(TOKENIZER.vocab_size)).all()  # the likeliest of V symbols has more than 1/V


def test_probabilities_of_all_that_may_follow_sum_to_one(writer: TextWriter) -> None:
    found = [math.exp(writer.score("abc" + character).log_probs[-1]) for character in "\n -abcdeé"]
    unknown = math.exp(writer.score("abc§").log_probs[-1])
    assert 0 < sum(found) < 1 and sum(found) + unknown < 1  # the rest is of begin and end


def test_a_documents_score_has_its_end_and_a_streams_has_not(writer: TextWriter, of_documents: TextWriter) -> None:
    ended = of_documents.score("abc")
    assert ended.ids.tolist() == [*TOKENIZER.encode("abc").tolist(), TOKENIZER.eos_id]
    assert writer.score("abc").ids.tolist() == TOKENIZER.encode("abc").tolist()
    assert len(of_documents.score("").ids) == 1 and len(writer.score("").ids) == 0
    # What comes first differs too: a begin symbol, or a line break.
    assert ended.log_probs[0] != writer.score("abc").log_probs[0]


# --- vectors


def test_a_vector_does_not_depend_on_the_other_texts(writer: TextWriter) -> None:
    texts = ["abc" * (1 + n % 9) + "é" * (n % 4) for n in range(2 * EMBEDDING_BATCH + 5)]
    together = writer.embed(texts)
    assert together.shape == (len(texts), 6) and together.dtype == np.float32
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(writer.embed([text])[0], vector, rtol=0, atol=1e-6)
    np.testing.assert_allclose(writer.embed(texts[::-1])[::-1], together, rtol=0, atol=1e-6)


def test_vectors_tell_texts_apart_and_an_empty_one_has_zeros(writer: TextWriter) -> None:
    a, b, nothing, unknown = writer.embed(["abc", "cba", "", "§§"])
    assert np.abs(a - b).max() > 1e-3 and np.abs(unknown).max() > 1e-3
    assert not nothing.any()
    assert writer.embed([]).shape == (0, 6)


def test_documents_are_embedded_from_their_begin(writer: TextWriter, of_documents: TextWriter) -> None:
    assert np.abs(writer.embed(["abc"]) - of_documents.embed(["abc"])).max() > 1e-3  # of the same weights


# --- threads


@pytest.fixture
def _hasty() -> Iterator[None]:
    """Threads come between each other's operations."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_hasty")
def test_threads_may_share_one_that_scores_and_embeds(writer: TextWriter) -> None:
    def judged(text: str) -> tuple[bytes, bytes]:
        return writer.score(text).log_probs.tobytes(), writer.embed([text, "a"]).tobytes()

    texts = [writer.generate(length=60, seed=seed) for seed in range(12)]
    alone = list(map(judged, texts))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(judged, texts)) == alone


@pytest.mark.usefixtures("_hasty")
def test_threads_may_share_one_that_writes(writer: TextWriter) -> None:
    def text(seed: int) -> str:
        return writer.generate("ab", length=60, seed=seed)

    alone = list(map(text, range(12)))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(text, list(range(12)) * 20)) == alone * 20


def test_streams_side_by_side_do_not_meet(writer: TextWriter) -> None:
    one, other = writer.stream("ab", length=40, seed=1), writer.stream("cd", length=40, seed=2)
    texts = ["", ""]
    for first, second in zip(one, other, strict=True):
        texts[0] += first
        texts[1] += second
    assert texts == ["".join(writer.stream("ab", length=40, seed=1)), "".join(writer.stream("cd", length=40, seed=2))]


def test_a_model_without_a_line_break_begins_from_nothing(tmp_path: Path) -> None:
    tokenizer = CharTokenizer("abc")
    config = LanguageModelConfig(EncoderConfig(tokenizer.vocab_size, "gru", 1, 5, 4))
    writer = TextWriter(write_run(tmp_path / "run", config, tokenizer))
    assert writer.score("ab").log_probs[0] == pytest.approx(-math.log(tokenizer.vocab_size))
    assert np.abs(writer.embed(["ab"])).max() > 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"prompt": 5}, "prompt is 5, but must be a text"),
        ({"length": "10"}, "length is '10', but must be a whole number"),
        ({"length": 2.5}, "length is 2.5, but must be a whole number"),
        ({"seed": "x"}, "seed is 'x', but must be a whole number"),
        ({"temperature": "hot"}, "temperature is 'hot', but must be a number"),
        ({"top_k": 2.5}, "top k is 2.5, but must be a whole number"),
        ({"stop": 3}, "stop is 3, but must be a sequence of texts"),
        ({"allow": 3}, "allow is 3, but must be a text"),
        ({"temprature": 1}, "there is no option temprature: is temperature meant"),
    ],
)
def test_arguments_of_a_wrong_type_are_a_sentence(writer: TextWriter, arguments: Any, sentence: str) -> None:
    with pytest.raises(ChargenError, match=re.escape(sentence)):
        writer.generate(**arguments)


@pytest.mark.parametrize("texts", ["abc", [None], None, 3])
def test_what_is_no_sequence_of_texts_is_not_embedded(writer: TextWriter, texts: Any) -> None:
    with pytest.raises(ChargenError, match=r"texts is .*but must be a sequence of texts"):
        writer.embed(texts)
    with pytest.raises(ChargenError, match=r"text is .*but must be a text"):
        writer.score(None)  # type: ignore[arg-type]
