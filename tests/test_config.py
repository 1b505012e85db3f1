"""Configurations go to JSON and come back the same; anything else is refused in a sentence."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from uncrowd import config
from uncrowd.errors import InputError
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.detr import DETRConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.models.stage import StageConfig


@dataclass(frozen=True, kw_only=True)
class Oven:
    degrees: float = 180.0
    fan: bool = False


@dataclass(frozen=True, kw_only=True)
class Cake:
    layers: int
    icing: Literal["none", "lemon"] = "none"
    notes: str | None = None
    oven: Oven = field(default_factory=Oven)
    tins: tuple[int, ...] = (20, 24)


def test_round_trip(tmp_path: Path) -> None:
    cake = Cake(layers=3, icing="lemon", notes="for Ada", oven=Oven(fan=True), tins=(18,))
    config.save(cake, tmp_path / "cake.json")
    assert config.load(Cake, tmp_path / "cake.json") == cake


def test_a_model_configuration_survives_json() -> None:
    model = SparseRCNNConfig(
        num_classes=3, backbone=BackboneConfig(pretrained="weights.pth"), stage=replace(StageConfig(), heads=4)
    )
    text = json.dumps(config.to_dict(model))
    assert config.from_dict(SparseRCNNConfig, json.loads(text), "here") == model


def test_differences_have_dotted_names() -> None:
    cake = Cake(layers=3)
    other = replace(cake, notes="for Ada", oven=Oven(fan=True))
    found = config.differences(config.to_dict(cake), config.to_dict(other))
    assert found == [("notes", None, "for Ada"), ("oven.fan", False, True)]
    assert config.differences({"a": 1, "b": {"c": 2}}, {"b": 3, "d": 4}) == [
        ("a", 1, None),
        ("b", {"c": 2}, 3),
        ("d", None, 4),
    ]


@dataclass(frozen=True, kw_only=True)
class Kettle:
    litres: float = 1.5


@dataclass(frozen=True, kw_only=True)
class Kitchen:
    heat: Oven | Kettle = field(default_factory=Oven)


@pytest.mark.parametrize("heat", [Oven(fan=True), Kettle(litres=2.0)])
def test_one_of_several_dataclasses_is_named_by_its_kind(heat: Oven | Kettle) -> None:
    values = config.to_dict(Kitchen(heat=heat))
    assert values["heat"]["kind"] == type(heat).__name__
    assert config.from_dict(Kitchen, json.loads(json.dumps(values)), "here") == Kitchen(heat=heat)


@pytest.mark.parametrize("heat", [{"kind": "Fire"}, {"litres": 1.0}, {"kind": "Oven", "litres": 1.0}, 3])
def test_a_value_of_none_of_the_dataclasses_is_refused(heat: object) -> None:
    with pytest.raises(InputError, match=r"Fire|null|litres|wrong form"):
        config.from_dict(Kitchen, {"heat": heat}, "here")


def test_a_missing_key_takes_its_default() -> None:
    assert config.from_dict(Cake, {"layers": 2}, "here") == Cake(layers=2)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"layers": 2, "candles": 7}, "candles"),  # an unknown key
        ({"layers": 2, "oven": {"gas": True}}, "gas"),  # ... further in
        ({}, "layers"),  # a missing key
        ({"layers": "many"}, "layers"),  # a wrong type
        ({"layers": 2, "icing": "mustard"}, "icing"),  # not one of the choices
        ({"layers": 2, "oven": 200}, "oven"),  # not an object
        ({"layers": 2, "tins": ["round"]}, "tins"),
    ],
    ids=str,
)
def test_an_invalid_configuration_is_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named) as error:
        config.from_dict(Cake, values, "cake.json")
    assert "cake.json" in str(error.value)


def test_the_message_repeats_why_a_configuration_refuses_its_values() -> None:
    with pytest.raises(
        InputError, match=r"stage\.json is not a valid StageConfig.*width is 20; give a multiple of 8 and"
    ):
        config.from_dict(StageConfig, {"width": 20}, "stage.json")


@pytest.mark.parametrize("content", ["", "{", "layers: 2", "[" * 100_000])
def test_a_file_without_a_configuration_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "cake.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"cake\.json"):
        config.load(Cake, path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.json cannot be read"):
        config.load(Cake, tmp_path / "missing.json")
    with pytest.raises(InputError, match="cannot be read"):
        config.load(Cake, tmp_path)  # a folder


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "cake.json").write_text('{"layers": 2}', encoding="utf-8-sig")
    assert config.load(Cake, tmp_path / "cake.json") == Cake(layers=2)


@pytest.mark.parametrize(("weighted", "interaction"), [(False, "entangled"), (True, "dcw")])
def test_a_detr_configuration_may_have_the_older_key(weighted: bool, interaction: Literal["entangled", "dcw"]) -> None:
    """An earlier version wrote `channel_weighting` where this one writes `interaction`."""
    detr = DETRConfig(interaction=interaction)
    values = config.to_dict(detr)
    del values["interaction"]
    text = json.dumps(values | {"channel_weighting": weighted})
    assert config.from_dict(DETRConfig, config.read_json(text), "here") == detr
    with pytest.raises(ValueError, match="the key 'a' is given twice"):
        config.read_json('{"a": 1, "a": 2}')


@pytest.mark.parametrize("values", [{"channel_weighting": "yes"}, {"channel_weighting": True, "interaction": "dcw"}])
def test_an_older_key_is_refused_where_no_version_wrote_it(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="channel_weighting"):
        config.from_dict(DETRConfig, config.read_json(json.dumps(values)), "here")
