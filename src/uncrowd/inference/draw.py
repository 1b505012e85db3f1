"""Draws what is in an image, for notebooks."""

from PIL import Image

from uncrowd.argument_types import checked_types
from uncrowd.inference.image_like import ImageLike, to_pixels
from uncrowd.structures import Detections, Sample
from uncrowd.visualize.draw import draw_detections


@checked_types(objects="detections, or a sample of a dataset")
def draw(image: ImageLike, objects: Detections | Sample) -> Image.Image:
    """Returns the image with boxes: those of detections with class and score, or the ground truth of a sample.

    image: as in `Predictor.predict`. A short side below 480 pixels is enlarged. Each class has its own colour; ignored
    ground truth is dashed and grey.

    Raises InputError for an image that cannot be read.
    """
    pixels = to_pixels(image)
    if isinstance(objects, Detections):
        drawn = draw_detections(pixels, objects.boxes, labels=objects.labels, captions=objects.captions)
    else:
        drawn = draw_detections(pixels, objects.boxes, labels=objects.labels, ignored=objects.ignore)
    return Image.fromarray(drawn)
