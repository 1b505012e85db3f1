"""The benchmark runs at toy size, and finds the exponents with which made-up times grow."""

import json
from pathlib import Path

import pytest
from benchmarks.growth import Arguments, in_words, main, slope, what_forces_it
from benchmarks.growth_lines import EPOCH, HELD, INFERENCE, INFERENCE_PLAN, LOSS_AND_GRADIENTS, READING, TRAINING, Line
from benchmarks.parts import ATTENTION, BACKBONE

from uncrowd.errors import InputError

TOY = ["--proposals", "5", "10", "20", "--sides", "64", "96", "--objects", "1", "10", "--boxes", "70", "700"]
TOY += ["--backbone", "resnet10t", "--stages", "1", "--rounds", "2"]
TOY += ["--stage.width", "32", "--stage.heads", "4", "--stage.dynamic-width", "8", "--stage.feedforward-width", "64"]


def test_a_table_and_a_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "timings.jsonl"
    assert main([*TOY, "--no-memory", "--append", str(file)]) == 0
    printed = capsys.readouterr().out
    assert f"Time of {INFERENCE} grows like proposals^" in printed
    assert "It grows most" in printed
    assert f"Memory {HELD} grows like boxes^" in printed
    (record,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert {"commit", "machine", "device", "threads", "proposals", "sides"} <= record.keys()
    lines = {line["quantity"]: line for line in record["results"]}
    assert {quantity: set(line["seconds"]) for quantity, line in lines.items()} == {
        "proposals": {INFERENCE, TRAINING},
        "pixels": {INFERENCE, TRAINING},
        "objects": {LOSS_AND_GRADIENTS},
        "boxes": {READING, EPOCH, INFERENCE_PLAN},
    }
    assert lines["proposals"]["seconds"][INFERENCE].keys() == {"5", "10", "20"}
    assert lines["pixels"]["seconds"][INFERENCE].keys() == {"4096", "9216"}
    for line in lines.values():
        assert all(len(of_rounds) == 2 for of_rounds in line["exponents"].values())
        for by_size in line["seconds"].values():
            assert all(sum(parts.values()) > 0 for rounds in by_size.values() for parts in rounds)
    assert 9 < lines["boxes"]["bytes"][HELD]["700"] / lines["boxes"]["bytes"][HELD]["70"] < 11


def test_one_line_with_its_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TOY, "--lines", "objects"]) == 0
    printed = capsys.readouterr().out
    assert "objects per image" in printed
    assert "proposals" not in printed


@pytest.mark.parametrize(
    ("power", "words"),
    [
        (0.0, "hardly at all"),
        (0.5, "less than linear"),
        (1.0, "linear"),
        (1.5, "more than linear"),
        (2.0, "as the square"),
    ],
)
def test_the_slope_is_that_of_the_larger_half(power: float, words: str) -> None:
    sizes = (1, 2, 4, 8, 16, 32)
    times = {size: 3 * size**power if size >= 8 else 1000.0 for size in sizes}
    assert slope(times) == pytest.approx(power)
    assert f"boxes^{power:.2f} ({power:.2f} to {power:.2f}): {words}" in in_words([slope(times)] * 2, "boxes")


def test_the_part_that_grows_most_is_named_with_its_reason() -> None:
    """Attention takes 4 of 10 seconds with 200 proposals and 16 of 31 with 400; the backbone takes the rest."""
    backbone, attention = {100: [3.0], 200: [6.0], 400: [15.0]}, {100: [1.0], 200: [4.0], 400: [16.0]}
    seconds = {
        INFERENCE: {size: [{BACKBONE: backbone[size][0], ATTENTION: attention[size][0]}] for size in (100, 200, 400)}
    }
    line = Line(quantity="proposals", where="", seconds=seconds, bytes={})
    said = what_forces_it(line, INFERENCE, {BACKBONE: backbone, ATTENTION: attention})
    assert said == (
        f"It grows most, and steepest, in {ATTENTION} (^2.00, 52 % of the time at 400; each query attends to each)."
    )


def test_one_size_is_refused() -> None:
    with pytest.raises(InputError, match="number of --boxes is 1; give 2 or more"):
        Arguments(boxes=(10,))
