"""Several datasets, of any formats, are one: classes by name, splits by name, ids of their own."""

import pytest

from tests.data.coco_files import annotation, content, image, write
from tests.data.odgt_files import line
from tests.data.odgt_files import write as write_odgt
from tests.data.written import make, write_coco, write_voc, write_yolo
from uncrowd.data.check.dataset import check, scan
from uncrowd.data.formats.layout import find_layout
from uncrowd.data.formats.open import open_dataset, open_split
from uncrowd.errors import InputError


@pytest.fixture
def animals(tmp_path):
    """The same classes in three formats."""
    return [
        write(tmp_path / name, make(seed))
        for seed, (name, write) in enumerate((("coco", write_coco), ("yolo", write_yolo), ("voc", write_voc)))
    ]


def test_every_image_comes_with_its_own_boxes(animals):
    alone = [open_dataset(path).present for path in animals]
    together = open_dataset(animals)
    assert together.format == "COCO JSON and YOLO and Pascal VOC"
    assert together.describe().splitlines()[1].startswith("  train: 9 images")
    for split, dataset in enumerate(together.present):
        parts = [splits[split] for splits in alone]
        assert dataset.categories.names == ("ant", "bee", "cat")
        assert dataset.ids[0] == "coco/0"
        assert len(set(dataset.ids.tolist())) == len(dataset) == sum(map(len, parts))
        for sample, own in zip(dataset, (each for part in parts for each in part), strict=True):
            assert sample.path.samefile(own.path)
            assert sample.boxes.tolist() == own.boxes.tolist()
            assert sample.labels.tolist() == own.labels.tolist()
            assert sample.size == own.size


def test_commas_separate_datasets(animals):
    assert len(open_dataset(f"{animals[0]},{animals[1]}").present[0]) == 6
    both = animals[0].rename(animals[0].with_name("a,b"))
    assert len(open_dataset(both).present[0]) == 3  # a folder of this name
    with pytest.raises(InputError, match=r"a,b has a comma, .*; rename it"):
        open_dataset([both, animals[1]])


def test_classes_are_those_of_all_in_order_of_their_names_coming(tmp_path):
    one = write(tmp_path / "one.json", content())  # cat (3), dog (7)
    other = write(
        tmp_path / "more/two.json",
        content(
            [image(1), image(2)],
            [annotation(1, 1, category_id=2)],
            [{"id": 2, "name": "dog"}, {"id": 3, "name": "eel"}],
        ),
    )
    (dataset,) = open_dataset([one, other]).present
    assert (dataset.categories.ids, dataset.categories.names) == ((1, 2, 3), ("cat", "dog", "eel"))
    assert dataset.labels.tolist() == [0, 1, 1]
    assert dataset.ids.tolist() == ["one/1", "one/2", "two/1", "two/2"]
    assert in_some_only([one, other]) == ["cat: only one", "eel: only two"]
    assert in_some_only([one, other], {"cat": ["cat"], "dog": ["dog"]}) == ["cat: only one"]
    assert in_some_only([one, other], {"animal": ["cat", "eel"]}) == []  # each has one of the two
    kept = open_dataset([one, other], classes=["dog"]).present[0]
    assert kept.labels.tolist() == [0, 0]


def in_some_only(paths, classes=None):
    """What a check says of classes that only some of the datasets have."""
    findings = check(scan(find_layout(paths), classes=classes)).findings
    return [each for found in findings if found.kind == "class in some datasets only" for each in found.examples]


def test_splits_are_joined_by_name_and_have_the_same_classes(tmp_path):
    folder = tmp_path / "both"
    write(folder / "instances_train.json")
    write(folder / "instances_val.json")
    single = write(tmp_path / "single.json", content(categories=[{"id": 3, "name": "eel"}, {"id": 7, "name": "dog"}]))
    splits = open_dataset([folder, single])
    assert [(dataset.split, len(dataset)) for dataset in splits.present] == [("train", 4), ("val", 2)]
    assert splits.present[0].categories == splits.present[1].categories
    val = open_split(find_layout([folder, single]), "val")
    assert val.categories.names == ("cat", "dog", "eel")
    assert val.ids.tolist() == ["both/1", "both/2"]


def test_datasets_of_one_name_get_numbers(tmp_path):
    paths = [write(tmp_path / place / "a.json") for place in ("x", "y")]
    assert open_dataset(paths).present[0].ids.tolist() == ["1/1", "1/2", "2/1", "2/2"]


def test_an_odgt_file_beside_coco_is_scored_as_coco(tmp_path):
    odgt = write_odgt(tmp_path / "o/annotation.odgt", [line("a"), line("b")])
    coco = write(tmp_path / "c/a.json", content(categories=[{"id": 3, "name": "person"}, {"id": 7, "name": "dog"}]))
    (dataset,) = open_dataset([odgt, coco]).present
    assert (dataset.protocol, dataset.categories.names) == ("coco", ("person", "dog"))
    with pytest.raises(InputError, match=r"a\.json is COCO JSON, which has no hbox"):
        open_dataset([odgt, coco], box="hbox")
    twice = write_odgt(tmp_path / "p/annotation.odgt", [line("c")])
    assert open_dataset([odgt, twice]).present[0].protocol == "crowdhuman"


def test_what_does_not_fit_is_refused(tmp_path):
    file = write(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"a\.json is given twice; name each dataset once"):
        open_dataset([file, file])
    with pytest.raises(InputError, match="No dataset is given"):
        open_dataset([])
    with pytest.raises(InputError, match=r"nowhere does not exist"):
        open_dataset([file, tmp_path / "nowhere"])
    broken = write(tmp_path / "b/b.json", content(annotations=[annotation(1, 99)]))
    with pytest.raises(InputError, match=r"b\.json has annotations of an image_id"):
        open_dataset([file, broken])
    problems = scan(find_layout([file, broken])).problems[0]
    assert "b: annotation 1: image_id 99" in [example for found in problems.findings() for example in found.examples]
    info = {key: value for key, value in content().items() if key != "annotations"}
    for name, data in (("with", content()), ("without", info)):
        write(tmp_path / f"{name}/annotations/instances_train.json", image_folder=tmp_path / f"{name}/train")
        kind = "instances" if name == "with" else "image_info"
        write(tmp_path / f"{name}/annotations/{kind}_test.json", data, image_folder=tmp_path / f"{name}/test")
    with pytest.raises(InputError, match=r"has ground truth and .* has none, so their test splits cannot be joined"):
        open_dataset([tmp_path / "with", tmp_path / "without"])
