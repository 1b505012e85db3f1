"""A threshold is one number, or one for each class."""

import pytest

from uncrowd.errors import InputError
from uncrowd.thresholds import ScoreThresholds, in_words, of_each_class

NAMES = ("person", "dog")


def test_a_number_is_that_of_every_class() -> None:
    assert of_each_class(0.4, NAMES) == [0.4, 0.4]
    assert of_each_class({"dog": 0.2, "person": 1}, NAMES) == [1.0, 0.2]


@pytest.mark.parametrize(
    ("threshold", "sentence"),
    [
        (1.5, "threshold is 1.5; scores are between 0 and 1"),
        ({"person": 0.5, "dog": -1}, "threshold of dog is -1; scores are between 0 and 1"),
        ({"person": 0.5}, "names no number for dog; give one for each class: person, dog"),
        ({"person": 0.5, "dog": 0.5, "cat": 0.5}, "'cat' is no class of this detector; its classes are person, dog"),
    ],
)
def test_other_thresholds_are_refused(threshold, sentence) -> None:
    with pytest.raises(InputError, match=sentence):
        of_each_class(threshold, NAMES)


def test_weights_keep_only_what_a_score_can_have() -> None:
    with pytest.raises(InputError, match="scores are between 0 and 1"):
        ScoreThresholds(f1={"person": 0.5}, count={"person": 2.0})


def test_words() -> None:
    assert in_words(0.4) == "0.4"
    assert in_words({"person": 0.35, "dog": 0.35}) == "0.35"
    assert in_words({"person": 0.4, "dog": 0.25, "cat": 0.4}) == "0.25 (dog), 0.4 (person, cat)"
