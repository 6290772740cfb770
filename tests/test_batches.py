"""Batches: what a stream reads, in which order, and that a step's number is all they depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargen.text.labelled import pad
from chargen.training.batches import Streams, Texts, fit_streams
from chargen.training.classifier_recipes import MAX_EPOCHS, MIN_CROP, MIN_STEPS, TRAINING_FRACTION, crop_for


def test_a_stream_reads_on_where_its_last_window_ended() -> None:
    streams = Streams(np.arange(100), streams=3, sequence_length=4, seed=5)
    read = np.concatenate([streams.indices(step)[:-1] for step in range(streams.steps_per_epoch)])
    for stream in range(3):
        assert (np.diff(read[:, stream]) % 100 == 1).all()
    assert len(np.unique(read)) == read.size  # no token twice in an epoch
    stride = streams.steps_per_epoch * 4  # a stream begins where the one before it will end
    assert ((read[0] - read[0, 0]) % 100).tolist() == [0, stride, 2 * stride]


def test_a_seed_reads_the_same_in_every_version() -> None:
    """A training that one version began and another resumes goes on with the batches that it would have had."""
    streams = Streams(np.arange(100), streams=3, sequence_length=4, seed=5)
    assert [streams.indices(step)[0].tolist() for step in (0, 7, 8)] == [[67, 99, 31], [95, 27, 59], [13, 45, 77]]
    long = [np.arange(100 * n, 100 * n + 1 + 3 * n % 8) for n in range(10)]
    texts = Texts(long, np.arange(10), batch_size=4, seed=3, crop=3, pool=2)
    assert [texts.batch(step).tolist() for step in (0, 1, 2)] == [[1, 4, 7, 5], [0, 9, 6, 2], [8, 3]]
    assert [[int(ids[0]) % 100 for ids in texts.read(step)] for step in (0, 1)] == [[0, 2, 2, 2], [0, 0, 0, 3]]


def test_the_seed_is_0_unless_it_is_given() -> None:
    assert np.array_equal(Streams(np.arange(99), 2, 5).indices(0), Streams(np.arange(99), 2, 5, seed=0).indices(0))
    whole = [np.arange(9) for _ in range(10)]
    plain, given = (Texts(whole, np.arange(10), 4, crop=3, **seed) for seed in ({}, {"seed": 0}))
    assert all(np.array_equal(plain.batch(step), given.batch(step)) for step in range(3))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((800, 64, 10), (10, 10)),  # streams go first: of ten windows each, eight times over
        ((800, 4, 10), (4, 10)),
        ((80, 64, 64), (1, 10)),  # then the window: an eighth of a single stream
        ((5, 3, 3), (1, 1)),
    ],
)
def test_a_text_is_read_in_eight_steps_at_least(asked: tuple[int, int, int], expected: tuple[int, int]) -> None:
    assert fit_streams(*asked) == expected


def test_targets_are_one_token_later() -> None:
    places = Streams(np.arange(50), streams=2, sequence_length=3).indices(7)
    assert places.shape == (4, 2)
    assert ((places[1:] - places[:-1]) % 50 == 1).all()


def test_epochs_begin_at_other_places_and_a_seed_decides_where() -> None:
    def first(seed: int, epoch: int) -> int:
        streams = Streams(np.arange(1000), streams=2, sequence_length=5, seed=seed)
        return int(streams.indices(epoch * streams.steps_per_epoch)[0, 0])

    assert len({first(0, epoch) for epoch in range(5)}) > 1
    assert first(0, 3) == first(0, 3)
    assert first(0, 3) != first(1, 3)


def test_state_is_fresh_at_the_beginning_of_each_epoch() -> None:
    streams = Streams(np.arange(40), streams=2, sequence_length=5)
    assert [step for step in range(9) if streams.is_fresh(step)] == [0, 4, 8]


@given(st.integers(16, 10_000), st.integers(1, 128), st.integers(1, 256))
def test_a_short_text_gets_streams_and_windows_that_fit(tokens: int, streams: int, window: int) -> None:
    fit, length = fit_streams(tokens, streams, window)
    assert 1 <= fit <= streams and 1 <= length <= window
    assert Streams(np.arange(tokens), fit, length).steps_per_epoch >= 1


def make_texts() -> Texts:
    return Texts([np.full(1 + n % 4, n) for n in range(10)], np.arange(10) * 10, batch_size=4, seed=3, pool=2)


def test_an_epoch_reads_every_text_once_in_another_order_each() -> None:
    texts = make_texts()
    orders = []
    for epoch in range(2):
        seen: list[int] = []
        for step in range(texts.steps_per_epoch):
            chosen = texts.batch(epoch * texts.steps_per_epoch + step)
            assert list(texts.lengths[chosen]) == sorted(texts.lengths[chosen])
            seen.extend(chosen.tolist())
        assert sorted(seen) == list(range(10))
        orders.append(seen)
    assert orders[0] != orders[1]


def test_an_epoch_is_shuffled_once_and_no_other_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, shuffled = make_texts(), []
    shuffle = Texts._shuffled

    def counted(self: Texts, epoch: int) -> list[np.ndarray]:
        shuffled.append(epoch)
        return shuffle(self, epoch)

    monkeypatch.setattr(Texts, "_shuffled", counted)
    for step in (0, 1, 2, 3, 4, 9, 2):
        texts.batch(step)
    assert shuffled == [0, 1, 3, 0]
    assert list(texts._batches) == [0]


@pytest.mark.parametrize("step", [0, 4, 11])
def test_a_batch_depends_on_the_step_alone(step: int) -> None:
    one, other = make_texts().batch(step), make_texts().batch(step)
    assert np.array_equal(one, other)


def test_a_crop_is_a_stretch_of_each_text_and_another_one_each_epoch() -> None:
    whole = [np.arange(100 * n, 100 * n + length) for n, length in enumerate([1, 5, 40, 60])]
    texts = Texts(whole, np.arange(4), batch_size=4, crop=5)
    assert texts.lengths.tolist() == [1, 5, 5, 5]
    starts = set()
    for step in range(8):
        for number, ids in zip(texts.batch(step), texts.read(step), strict=True):
            start = int(ids[0]) - 100 * int(number)
            assert np.array_equal(ids, whole[number][start : start + texts.lengths[number]])
            starts.add((int(number), start))
        assert all(map(np.array_equal, texts.read(step), texts.read(step)))
    assert len(starts) > 10 and {start for number, start in starts if number < 2} == {0}


def test_texts_that_are_not_cropped_are_read_whole() -> None:
    texts = make_texts()
    for chosen, ids in zip(texts.batch(0), texts.read(0), strict=True):
        assert np.array_equal(ids, texts.texts[chosen])


@given(st.lists(st.integers(1, 300), min_size=1), st.integers(1, 9), st.floats(1, 1e6))
def test_a_crop_is_the_longest_that_time_allows(lengths: list[int], batch: int, tokens: float) -> None:
    crop = crop_for(np.array(lengths), batch, tokens)
    steps = math.ceil(len(lengths) / batch)
    time_for = TRAINING_FRACTION * tokens / min(MAX_EPOCHS, max(1, MIN_STEPS / steps))  # for an epoch
    assert crop == MIN_CROP or sum(min(length, crop) for length in lengths) <= time_for * 1.0001
    assert crop >= max(lengths) or sum(min(length, crop + 1) for length in lengths) > time_for * 0.9999


def test_texts_side_by_side_are_padded_with_zeros() -> None:
    ids, lengths = pad([np.array([7]), np.array([4, 5, 6])])
    assert ids.tolist() == [[7, 4], [0, 5], [0, 6]] and lengths.tolist() == [1, 3]
