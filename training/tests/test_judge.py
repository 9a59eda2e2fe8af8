"""What the judge writes becomes the words that were said."""

import re
from types import SimpleNamespace

import numpy as np

from mini_omni_training.judge import Judge, spelled
from mini_omni_training.scores import errors


def test_what_the_judge_writes_in_signs_is_spelled():
    heard = "OK, 36-13 is 23, at 2:50 the 3rd B-I-RD has 1,250 x 4."
    said = (
        "okay, thirty six minus thirteen is twenty three at two fifty the third B-I-R D has "
        "one thousand two fifty times four"
    )
    assert re.findall(r"\w+", spelled(heard)) == re.findall(r"\w+", said)
    assert spelled("7-8-9").split() == ["seven", "eight", "nine"]
    assert spelled("Fourty, bread and flour.") == "Forty, bread and flower."


def test_a_judge_that_goes_round_in_circles_hears_again():
    class Looping:
        def transcribe(self, sound: np.ndarray, initial_prompt: str | None, **_: object):
            text, ratio = ("Six, six, six, six.", 9.0) if initial_prompt else ("Six.", 0.5)
            return iter([SimpleNamespace(text=text, compression_ratio=ratio)]), None

    judge = Judge.__new__(Judge)
    judge.model = Looping()
    assert judge.hear(np.zeros(2_400, np.float32)) == "Six."


def test_word_errors_are_counted():
    assert errors("a b c".split(), "a c d".split()) == 2
    assert errors([], ["a"]) == 1
