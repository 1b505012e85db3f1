"""From pixels to detections: evaluation during training, `eval` and `predict` all go through here."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import overload

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from uncrowd import config
from uncrowd.acceleration.compile import compile_whole
from uncrowd.acceleration.for_inference import for_inference
from uncrowd.boxes import clip, rescale
from uncrowd.data.image import read_image, to_rgb, upright
from uncrowd.data.loader import inference_batches, pad
from uncrowd.data.transforms import ResizeConfig, resize
from uncrowd.errors import InputError, NonFiniteError, require_at_least
from uncrowd.inference.cuda_graphs import CudaGraphs
from uncrowd.inference.onnx_detector import AnyDetector, load_onnx
from uncrowd.inference.tta import Ranked, TTAConfig, detect_in_views
from uncrowd.models.detector import Detector
from uncrowd.out_of_memory import memory_for
from uncrowd.structures import Batch, Categories, Decoded, Detections
from uncrowd.weights.file import load_weights

# Arrays are (h, w, 3), tensors (3, h, w), both uint8; others get a sentence.
ImageLike = str | Path | Image.Image | np.ndarray | Tensor


class Predictor:
    """A detector with the classes it knows and the size it wants its images in.

    model: what `for_inference` makes of the given one, which is moved to the device and else stays as it is: later
    training of it does not reach the predictor.
    device: where torch runs the model; an ONNX file was given its device when it was loaded.
    tta: test-time augmentation (Table 7): each image is detected in at many sizes, which is slow.
    bf16: compute in bfloat16 all but boxes, scores and attention by IoU; faster on GPUs, and on CPUs that have
    instructions for it.
    compiled: torch.compile, for many images of one size or a few sizes.
    cuda_graphs: on a GPU, unless compiled, replays what was captured for earlier images of the same size and number.
    Forward hooks hear nothing of replays, and the model's weights must stay where they are; None switches it off.
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
    ):
        self.device = torch.device(device)
        self.model = for_inference(model.to(self.device), bf16=bf16) if isinstance(model, Detector) else model
        if compiled and isinstance(self.model, Detector):
            compile_whole(self.model)
        self.cuda_graphs = CudaGraphs(self.model.detect) if self.device.type == "cuda" and not compiled else None
        self.categories = categories
        self.resize = resize
        self.tta = tta
        self.bf16 = bf16

    @overload
    def predict(self, inputs: ImageLike, threshold: float = ..., batch_size: int = ...) -> Detections: ...
    @overload
    def predict(
        self, inputs: Sequence[ImageLike], threshold: float = ..., batch_size: int = ...
    ) -> list[Detections]: ...
    def predict(
        self, inputs: ImageLike | Sequence[ImageLike], threshold: float = 0.0, batch_size: int = 8
    ) -> Detections | list[Detections]:
        """Returns what is in an image, or for each image of a sequence, with a score of at least `threshold`.

        An image is a path, a PIL image, an RGB array (h, w, 3) or an RGB tensor (3, h, w), both uint8. Boxes come
        back in its own pixels. Images share a batch only where that changes nothing: predict([a, b]) is
        predict(a), predict(b). With test-time augmentation images go one by one, whatever `batch_size`.

        Raises InputError for an image that cannot be read or is given in another form, and NonFiniteError when the
        weights are damaged.
        """
        require_at_least(1, batch_size=batch_size)
        if isinstance(inputs, Iterable) and not isinstance(inputs, str | Path | Image.Image | np.ndarray | Tensor):
            return self._predict_all(list(inputs), threshold, batch_size)
        return self._predict_all([inputs], threshold, batch_size)[0]

    def _predict_all(self, inputs: list[ImageLike], threshold: float, batch_size: int) -> list[Detections]:
        if self.tta is not None:
            return [self._detect_in_views(_to_array(image), self.tta).above(threshold) for image in inputs]
        arrays = [_to_array(image) for image in inputs]
        sizes = np.array([array.shape[:2] for array in arrays], np.int64).reshape(-1, 2)
        found: list[Detections | None] = [None] * len(arrays)
        for indices in inference_batches(sizes, self.resize, multiple=self.model.multiple, batch_size=batch_size):
            images, network_sizes = pad([resize(arrays[index], self.resize) for index in indices])
            detections = self._detect(images, network_sizes, [arrays[index].shape[:2] for index in indices])
            for index, detection in zip(indices, detections, strict=True):
                found[index] = detection.above(threshold)
        return [detection for detection in found if detection is not None]

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
            memory_for(
                f"while detecting in a batch of {count} of {height} x {width} pixels",
                "smaller batches, smaller images and bf16 need less",
            ),
            torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext(),
        ):
            images, sizes = (given.to(self.device, non_blocking=True) for given in (images, sizes))
            if isinstance(self.model, Detector):
                images = self.model.padded(images)  # so that one captured or compiled graph serves a padded size
            detect = self.model.detect if self.cuda_graphs is None else self.cuda_graphs
            decoded = detect(images, sizes)
        # one copy to the host; labels are small enough to be exact as floats
        flat = torch.cat([decoded.boxes, decoded.scores[..., None], decoded.labels[..., None].float()], -1).cpu()
        if not torch.isfinite(flat).all():
            raise NonFiniteError("the model predicts boxes or scores that are not finite; its weights are damaged")
        return Decoded(boxes=flat[..., :4], scores=flat[..., 4], labels=flat[..., 5].long())

    def _to_detections(self, found: Ranked, size: tuple[int, int]) -> Detections:
        """Clips boxes to the image of (height, width) `size` and drops those with nothing left inside."""
        boxes = clip(found.boxes, *size)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        return Detections(
            boxes=boxes[inside], scores=found.scores[inside], labels=found.labels[inside], categories=self.categories
        )


def load(
    path: str | Path,
    device: torch.device | str | None = None,
    tta: TTAConfig | None = None,
    *,
    bf16: bool = False,
    compiled: bool = False,
) -> Predictor:
    """Returns a predictor from a weights file, a run's folder (its last weights), or an exported ONNX file (.onnx).

    device: by default the GPU where there is one. tta: test-time augmentation, or none. bf16: see `Predictor`.
    compiled: torch.compile, for many images of one size or a few: each takes some half a minute, on a CPU minutes.

    An ONNX file runs as it was exported, without `bf16` and `compiled`. The predictor's model is converted for
    inference: for one to train or to save again, take `uncrowd.weights.file.load_weights`.

    Raises InputError when the file is missing or is not such a file, and for `compiled` with test-time augmentation or
    without a compiler.
    """
    path = Path(path)
    if path.suffix.lower() == ".onnx":
        if bf16 or compiled:
            raise InputError(f"{path} is run by ONNX Runtime as it was exported; leave bf16 and compiling out.")
        detector = load_onnx(path, device)
        return Predictor(detector, detector.description.categories, detector.description.preprocessing, tta=tta)
    if compiled and tta is not None:
        raise InputError(
            "Test-time augmentation has a dozen sizes an image, each to be compiled; leave one of the two out."
        )
    weights = load_weights(path)
    resize_config = config.from_dict(ResizeConfig, weights.preprocessing, str(path))
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    no_device = InputError(f"There is no device {str(device)!r} here; give 'cpu', 'cuda' or none.")
    try:
        weights.model.to(device)
    except (RuntimeError, AssertionError, TypeError) as error:  # whatever torch says of a device that is not there
        raise no_device from error
    if torch.device(device).type == "meta":  # where nothing is computed
        raise no_device
    return Predictor(weights.model, weights.categories, resize_config, device, tta, bf16, compiled)


def _to_array(image: ImageLike) -> UInt8[np.ndarray, "h w 3"]:
    match image:
        case str() | Path():
            return read_image(Path(image))
        case Image.Image():
            return _pixels(image)
        case Tensor() if image.dtype == torch.uint8 and image.dim() == 3 and len(image) == 3 and image.numel():
            return image.permute(1, 2, 0).cpu().numpy()
        case np.ndarray() if image.dtype == np.uint8 and image.shape[2:] == (3,) and image.size:
            return image
        case Tensor() | np.ndarray():
            form = f"{image.dtype} of shape {tuple(image.shape)}"
        case _:
            form = type(image).__name__
    raise InputError(
        f"An image is given as {form}; give a path, a PIL image, or uint8 RGB: (h, w, 3) as array, (3, h, w) as tensor."
    )


def _pixels(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    if not image.width or not image.height:
        raise InputError(f"An image given as PIL image has {image.width} x {image.height} pixels.")
    try:
        return to_rgb(upright(image))
    except InputError:
        raise
    except Exception as error:  # of a file that is closed or damaged, which Pillow only now reads
        raise InputError(f"An image given as PIL image cannot be read ({error}).") from error
