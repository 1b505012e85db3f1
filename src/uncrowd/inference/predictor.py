"""From pixels to detections: evaluation during training, `eval` and `predict` all go through here."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import islice
from typing import overload

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from uncrowd.acceleration.compile import compile_whole
from uncrowd.acceleration.for_inference import for_inference
from uncrowd.boxes import clip, rescale
from uncrowd.data.batches import inference_batches, pad
from uncrowd.data.images.file import MAX_PIXELS, MAX_PIXELS_IN_TILES, BinaryFile
from uncrowd.data.transforms import ResizeConfig, resize
from uncrowd.devices import send
from uncrowd.errors import InputError, NonFiniteError, require_whole
from uncrowd.inference.cuda_graphs import CudaGraphs
from uncrowd.inference.exported import AnyDetector
from uncrowd.inference.full import note_if_full
from uncrowd.inference.image_like import ImageLike, size_of, to_pixels, to_rows, warn_of
from uncrowd.inference.tiles import TilesConfig, detect_in_tiles, grid_of
from uncrowd.inference.tta import Ranked, TTAConfig, detect_in_views
from uncrowd.models.detector import Detector
from uncrowd.out_of_memory import explain_out_of_memory
from uncrowd.structures import Batch, Categories, Decoded, Detections
from uncrowd.thresholds import ScoreThresholds, Threshold, keeps_all, of_each_class


class Predictor:
    """A detector with the classes it knows and the size it wants its images in.

    model: what `for_inference` makes of the given one, which is moved to the device and otherwise stays as it is. Later
    training of the given one does not reach the predictor.
    device: where torch runs the model; an exported detector was given its device when it was loaded.
    tta: test-time augmentation (Table 7), which detects in each image at many sizes and is slow.
    bf16: compute in bfloat16 all but boxes, scores and attention by IoU; faster on GPUs, and on CPUs that have
    instructions for it.
    compiled: torch.compile, for many images of one size or a few sizes.
    cuda_graphs: on a GPU, unless compiled, replays what was captured for earlier images of the same size and number.
    A replay calls no forward hooks, and the weights must stay where they are in memory. None switches graphs off.
    max_pixels: width times height up to which an image file is decoded; a larger one is refused. By default
    `MAX_PIXELS`, with tiles `MAX_PIXELS_IN_TILES`.
    tiles: cuts each image into tiles, or not; test-time augmentation is then of each tile.
    thresholds: the best ones on validation data, for `predict(threshold=...)`; None where none were chosen.
    one_label: each query gives only its best class. By default a box may appear with several labels, as in the paper.

    Raises InputError for `bf16`, `compiled` or `one_label` with an exported detector, which runs as it was exported,
    and for `compiled` or `one_label` with test-time augmentation.
    """

    def __init__(
        self,
        model: AnyDetector,
        categories: Categories,
        resize: ResizeConfig,
        device: torch.device | str = "cpu",
        tta: TTAConfig | None = None,
        bf16: bool = False,
        compiled: bool = False,
        max_pixels: int | None = None,
        tiles: TilesConfig | None = None,
        thresholds: ScoreThresholds | None = None,
        one_label: bool = False,
    ):
        exported = not isinstance(model, Detector)
        if exported and (bf16 or compiled or one_label):
            raise InputError("An exported detector runs as it was exported; leave bf16, compiled and one_label out.")
        if one_label and tta is not None:
            raise InputError("Test-time augmentation votes for each class on its own; leave one_label out.")
        if compiled and tta is not None:
            raise InputError(
                "Test-time augmentation has a dozen sizes an image, each to be compiled; leave one of the two out."
            )
        if max_pixels is None:
            max_pixels = MAX_PIXELS if tiles is None else MAX_PIXELS_IN_TILES
        require_whole(1, max_pixels=max_pixels)
        self.device = torch.device(device)
        self.model = for_inference(model.to(self.device), bf16=bf16) if isinstance(model, Detector) else model
        if compiled and isinstance(self.model, Detector):
            compile_whole(self.model)
        self._decoding = {"one_label": True} if one_label else {}  # exported detectors have no such argument
        on_gpu = self.device.type == "cuda" and not compiled and not exported
        self.cuda_graphs = CudaGraphs(partial(self.model.detect, **self._decoding)) if on_gpu else None
        self.categories = categories
        self.resize = resize
        self.tta = tta
        self.bf16 = bf16
        self.max_pixels = max_pixels
        self.tiles = tiles
        self.thresholds = thresholds

    @overload
    def predict(self, inputs: ImageLike, threshold: Threshold = ..., batch_size: int = ...) -> Detections: ...
    @overload
    def predict(
        self, inputs: Iterator[ImageLike], threshold: Threshold = ..., batch_size: int = ...
    ) -> Iterator[Detections]: ...
    @overload
    def predict(
        self, inputs: Sequence[ImageLike], threshold: Threshold = ..., batch_size: int = ...
    ) -> list[Detections]: ...
    def predict(
        self,
        inputs: ImageLike | Iterator[ImageLike] | Sequence[ImageLike],
        threshold: Threshold = 0.0,
        batch_size: int = 8,
    ) -> Detections | Iterator[Detections] | list[Detections]:
        """Returns what is in an image with a score of at least `threshold`; for several images, one after the other.

        threshold: a number, or a number for each class name, such as `predictor.thresholds.f1`.
        An image is a path, the bytes of an image file, such a file open for reading, a PIL image, an RGB array
        (h, w, 3) or an RGB tensor (3, h, w), both uint8. Boxes are in its own pixels. A sequence of images gives a
        list; an iterator gives an iterator, which takes `batch_size` images at a time. No more than a batch of paths
        and bytes is decoded at once, and each is opened a second time for its size; open files are decoded first.

        Images of one size share a batch of up to `batch_size`. In fp32 the batch can change the last bits of a result
        (boxes by up to about 1e-4 pixels), because libraries choose their algorithms by it. With test-time
        augmentation images go one by one. With tiles they do so too, and a batch holds tiles of one row; see
        `detect_in_tiles`.

        Warns of files of which a part is left out (pages after the first) or hardly visible (12 bits in 16), and with a
        threshold where an image, or one of its tiles, has nearly as many objects as the detector can report. Raises
        InputError for a threshold outside 0 to 1, for an image that cannot be read or is given in another form, and
        NonFiniteError when the weights are damaged.
        """
        of_each_class(threshold, self.categories.names)
        require_whole(1, batch_size=batch_size)
        if isinstance(inputs, ImageLike) or not isinstance(inputs, Iterable):
            return self._predict_all([inputs], threshold, batch_size)[0]
        if isinstance(inputs, Iterator):
            return self._predict_in_turn(inputs, threshold, batch_size)
        return self._predict_all(list(inputs), threshold, batch_size)

    def _predict_in_turn(
        self, inputs: Iterator[ImageLike], threshold: Threshold, batch_size: int
    ) -> Iterator[Detections]:
        while images := list(islice(inputs, batch_size)):
            yield from self._predict_all(images, threshold, batch_size)

    def _predict_all(self, inputs: Sequence[ImageLike], threshold: Threshold, batch_size: int) -> list[Detections]:
        if self.tiles is None:
            return self._predict_whole(inputs, threshold, batch_size)
        return [self._predict_tiled(image, self.tiles, threshold, batch_size) for image in inputs]

    def _predict_tiled(self, image: ImageLike, tiles: TilesConfig, threshold: Threshold, batch_size: int) -> Detections:
        rows = to_rows(image, self.max_pixels)
        found = detect_in_tiles(rows, tiles, self.resize, lambda images: self._predict_whole(images, 0.0, batch_size))
        found = found.above(threshold)
        if rows is not image:
            warn_of(image, rows.notes())
        self._warn_if_full(image, found, rows.size, threshold)
        return found

    def note_if_full(self, found: Detections, size: tuple[int, int]) -> str | None:
        """Returns a sentence if the objects of an image, or of a tile, are nearly as many as the detector can report.

        found: the objects that are reported, in pixels of the image. size: its (height, width). With test-time
        augmentation, which merges many views, nothing is said.
        """
        if self.tta is not None:
            return None
        grid = None if self.tiles is None else grid_of(size, self.tiles)
        if grid is not None and grid.tiles == 1:
            grid = None  # it is detected in as a whole
        return note_if_full(found, self.model.config, grid, tiles=self.tiles is not None)

    def _warn_if_full(self, image: ImageLike, found: Detections, size: tuple[int, int], threshold: Threshold) -> None:
        note = None if keeps_all(threshold) else self.note_if_full(found, size)
        if note is not None:
            warn_of(image, [note])

    def _predict_whole(self, inputs: Sequence[ImageLike], threshold: Threshold, batch_size: int) -> list[Detections]:
        if self.tta is not None:
            return [self._detect_in_views(self._pixels(image), self.tta).above(threshold) for image in inputs]
        # An open file may be a stream, which can be read only once.
        inputs = [self._pixels(image) if isinstance(image, BinaryFile) else image for image in inputs]
        sizes = np.array([size_of(image, self.max_pixels) for image in inputs], np.int64).reshape(-1, 2)
        found: list[Detections | None] = [None] * len(inputs)
        for indices in inference_batches(sizes, self.resize, multiple=self.model.multiple, batch_size=batch_size):
            resized, image_sizes = [], []
            for index in indices:  # one image is held at its own size, the others resized
                pixels = self._pixels(inputs[index])
                resized.append(resize(pixels, self.resize))
                image_sizes.append(pixels.shape[:2])
            detections = self._detect(*pad(resized), image_sizes)
            for index, detection, size in zip(indices, detections, image_sizes, strict=True):
                found[index] = kept = detection.above(threshold)
                self._warn_if_full(inputs[index], kept, size, threshold)
        return [detection for detection in found if detection is not None]

    def _pixels(self, image: ImageLike) -> UInt8[np.ndarray, "h w 3"]:
        return to_pixels(image, self.max_pixels)

    def predict_batch(self, batch: Batch) -> list[Detections]:
        """Returns the detections of each image of a batch that is already resized: no threshold, no augmentation."""
        if not batch.ids:
            return []
        return self._detect(batch.images, batch.sizes, batch.image_sizes)

    @torch.inference_mode()
    def _detect(self, images: Tensor, sizes: Tensor, image_sizes: list[tuple[int, int]]) -> list[Detections]:
        decoded = self._decode(images, sizes)
        return [
            self._to_detections(Ranked(rescale(boxes, (height, width), size), scores, labels), size)
            for boxes, scores, labels, (height, width), size in zip(*decoded, sizes.tolist(), image_sizes, strict=True)
        ]

    @torch.inference_mode()
    def _detect_in_views(self, image: UInt8[np.ndarray, "h w 3"], tta: TTAConfig) -> Detections:
        return self._to_detections(detect_in_views(image, tta, self._decode), image.shape[:2])

    def _decode(self, images: Tensor, sizes: Tensor) -> Decoded:
        """Returns the model's ranked detections on the CPU, in network pixels.

        images: (b, 3, h, w) RGB in 0-255. sizes: (b, 2), the (height, width) of each before padding.
        """
        count, (height, width) = len(images), images.shape[-2:]
        with (
            explain_out_of_memory(
                f"while detecting in a batch of {count} of {height} x {width} pixels",
                "smaller batches, smaller images and bf16 need less",
            ),
            torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext(),
        ):
            images, sizes = (send(given, self.device) for given in (images, sizes))
            if isinstance(self.model, Detector):
                images = self.model.padded(images)  # so that one captured or compiled graph serves a padded size
            detect = partial(self.model.detect, **self._decoding) if self.cuda_graphs is None else self.cuda_graphs
            decoded = detect(images, sizes)
        # one copy to the host; labels are small enough to be exact as floats
        flat = torch.cat([decoded.boxes, decoded.scores[..., None], decoded.labels[..., None].float()], -1).cpu()
        if not torch.isfinite(flat).all():
            raise NonFiniteError("the model predicts boxes or scores that are not finite; its weights are damaged")
        if flat.shape[1] < (wanted := self.model.config.proposals):
            warnings.warn(
                f"An image of {height} x {width} pixels gives {flat.shape[1]} detections, not {wanted}: the dense head "
                "has no more points there; give the image at a larger size.",
                stacklevel=2,
            )
        return Decoded(boxes=flat[..., :4], scores=flat[..., 4], labels=flat[..., 5].long())

    def _to_detections(self, found: Ranked, size: tuple[int, int]) -> Detections:
        """Clips boxes to the image of (height, width) `size` and drops those with nothing left inside."""
        boxes = clip(found.boxes, *size)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        return Detections(
            boxes=boxes[inside], scores=found.scores[inside], labels=found.labels[inside], categories=self.categories
        )
