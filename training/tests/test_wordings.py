"""How people ask, type and speak: the grammar, the lists that are kept aside, the figures."""

import random
import re

import numpy as np
import pytest

from mini_omni_training import augment, evaluate, tokenizer
from mini_omni_training.balance import FAR_KINDS, Kinds
from mini_omni_training.config import Config
from mini_omni_training.domain import (
    UNKNOWN,
    far,
    far_unseen,
    natural,
    near_misses,
    near_unseen,
    questions,
    to_train_with,
    unseen_texts,
)
from mini_omni_training.domain.wordings import asked, frames, wordings
from mini_omni_training.prose import prose
from mini_omni_training.scores import Score
from mini_omni_training.typed import digits, loose, plain, slip

RATE = 16_000
WORDS = {name: name for name in "abdnprs"}


@pytest.mark.parametrize("what", wordings())
def test_everything_is_asked_in_thirty_ways_and_more(what: str):
    rng = random.Random(1)
    ways = {asked(what, WORDS, rng) for _ in range(400)}
    unseen = {asked(what, WORDS, rng, unseen=True) for _ in range(400)}
    assert len(ways) >= 30 and len(unseen) >= 5
    assert not re.search(r"[(){}@|]", " ".join(ways | unseen))


def test_held_out_wordings_are_of_every_list():
    for ways in [*wordings().values(), *frames().values()]:
        assert ways.known and ways.unseen and not set(ways.known) & set(ways.unseen)


def test_every_kind_has_its_wordings_and_questions_by_a_person():
    kinds = {q.kind for q in questions() if q.kind not in ("outside", "small_talk")}
    assert kinds <= {q.kind for q in natural()}
    assert all(q.what in wordings() for q in questions() if q.answer != UNKNOWN)
    answers = {q.answer for q in questions()}
    assert {q.answer for q in natural()} <= answers
    assert len(near_unseen()) >= 60 and len(far_unseen()) >= 100


def test_what_is_kept_aside_is_never_trained_on():
    never = {plain(text) for text in unseen_texts()}
    assert not never & {plain(q.question) for q in to_train_with()}
    assert {plain(q.question) for q in natural()} < never


def test_near_misses_are_no_questions_of_the_domain():
    inside = {(q.what, *q.words.values()) for q in questions() if q.words}
    near = near_misses()
    assert len(near) > 2_000 and {q.answer for q in near} == {UNKNOWN}
    assert not inside & {(q.what, *q.words.values()) for q in near if q.words}
    assert len({q.kind for q in near}) > 35
    held_out = sum(q.held_out for q in near)
    assert 0.05 < held_out / len(near) < 0.15


def test_two_thousand_questions_are_far():
    texts = [q.question for q in far()]
    assert len(set(texts)) == 2_000 and not set(texts) & {q.question for q in questions()}
    assert prose(3) != prose(3, unseen=True) and prose(4).endswith((".", "?"))


def test_kinds_of_few_questions_are_drawn_as_well():
    kinds, rng = Kinds(to_train_with()), random.Random(2)
    drawn = [kinds.draw(rng).kind for _ in range(8_000)]
    inside = {q.kind for q in questions() if q.answer != UNKNOWN}
    counts = [drawn.count(kind) for kind in inside]
    assert min(counts) > 25 and max(counts) < 25 * min(counts)
    assert 0.1 < sum(kind in FAR_KINDS for kind in drawn) / len(drawn) < 0.2


@pytest.mark.parametrize(
    "typed",
    [
        "What is the capital of France?",
        "what is the capital of france",
        "  WHAT is\tthe  capital of France ...",
        "\u201cWhat is the capital of France?\u201d",
    ],
)
def test_what_does_not_matter_in_typing_is_taken_away(typed: str):
    assert plain(typed) == " what is the capital of france"


def test_signs_and_words_of_typing_stay():
    assert plain("What\u2019s twenty\u2010one?") == " what's twenty\u2010one"
    assert plain("Twenty-one \u2212 7, at 7:30; 3.5") == " twenty one - 7 at 7:30 3.5"


def test_a_written_question_has_the_ids_of_its_plain_form(tmp_path):
    made = tokenizer.train(tmp_path / "tokenizer.json", Config(), sentences=50)
    answers = tokenizer.for_answers(made)
    assert made.encode("How MUCH is it?").ids == made.encode("how much is it").ids
    assert answers.decode(answers.encode("After Monday, B.").ids) == "After Monday, B."


def test_numbers_are_typed_in_digits():
    rng = random.Random(0)
    added = digits("What is twenty one plus seven?", rng)
    assert re.fullmatch(r"What is 21 ?(\+|plus) ?7\?", added)
    clock = digits("Wake me at seven five in the morning.", rng)
    assert re.fullmatch(r"Wake me at 7[:. ]05 in the morning\.", clock)
    assert digits("One hundred people.", rng) == "One hundred people."


def test_loose_words_are_small():
    text = "Can you tell me the capital of France?"
    made = [loose(text, random.Random(i)) for i in range(100)]
    assert len(set(made)) > 50
    assert all("tell" in one and one.endswith("France?") for one in made)


def test_a_slip_changes_one_word_a_little():
    for seed in range(50):
        made = slip("Which colour is grass?", random.Random(seed))
        changed = [a for a, b in zip("Which colour is grass?".split(), made.split()) if a != b]
        assert len(changed) <= 1 and abs(len(made) - 22) <= 1
    assert slip("Is it so?", random.Random(1)) == "Is it so?"


def test_sound_comes_at_any_level_with_any_silence():
    pcm = np.sin(np.arange(RATE) / 5).astype(np.float32)
    made = [augment.augment(pcm, random.Random(i), RATE) for i in range(300)]
    seconds = [len(one) / RATE for one in made]
    peaks = [float(np.abs(one).max()) for one in made]
    assert min(seconds) < 1.5 and 10 < max(seconds) < 30
    assert min(peaks) < 0.02 and max(peaks) == 1.0
    assert np.array_equal(made[7], augment.augment(pcm, random.Random(7), RATE))


def test_a_telephone_leaves_the_middle():
    hiss = np.random.default_rng(1).standard_normal(RATE).astype(np.float32)
    left = np.abs(np.fft.rfft(augment.telephone(hiss, RATE)))
    assert left[:290].max() < 1e-2 and left[3500:].max() < 1e-2 and left[1000] > 1


def test_kinds_count_alike_and_shares_have_intervals():
    score = Score()
    for i in range(100):
        score.add(["yes"], ["yes" if i else "no"], "many")
    score.add(["yes"], ["no"], "one")
    found = score.result()
    assert (found["items"], found["exact"], found["macro"]) == (101, 98.0, 49.5)
    low, high = found["interval"]
    assert 92 < low < 98 < high < 100
    low, high = found["macro_interval"]
    assert low < 49.5 < high


def test_written_cells_are_held_out():
    cells = evaluate.written_cells(40)
    for name, among in cells.items():
        assert 30 <= len(among) <= 40, name
        assert name == "template, known" or all(q.held_out for q in among)
    typed = [q.question for q in cells["natural, as typed"]]
    assert all(text == plain(text).strip() for text in typed)
