"""Makes people, dogs and balls from coloured polygons, and draws them.

A figure has its own frame: x to the right, y down, (0, 0) where it touches the ground, and a person 1 high. So its box
is known, to a fraction of a pixel, before it is drawn at any place and size.
"""

import colorsys
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFilter

Polygon = Float[np.ndarray, "k 2"]
Point = tuple[float, float] | Float[np.ndarray, " 2"]
Colour = tuple[float, float, float]

# Figures are drawn this many times larger and then reduced, which smooths their edges.
SUPERSAMPLING = 3

SKINS: tuple[Colour, ...] = (
    (1.0, 0.85, 0.72),
    (0.94, 0.76, 0.6),
    (0.78, 0.57, 0.41),
    (0.55, 0.37, 0.26),
    (0.4, 0.27, 0.2),
)
HAIRS: tuple[Colour, ...] = (
    (0.1, 0.08, 0.08),
    (0.3, 0.19, 0.11),
    (0.52, 0.32, 0.15),
    (0.86, 0.7, 0.38),
    (0.7, 0.7, 0.7),
)
COATS: tuple[Colour, ...] = (
    (0.62, 0.4, 0.2),
    (0.86, 0.72, 0.5),
    (0.22, 0.19, 0.19),
    (0.93, 0.9, 0.86),
    (0.5, 0.27, 0.14),
)

DARK: Colour = (0.12, 0.1, 0.1)
WHITE: Colour = (0.97, 0.97, 0.95)


def _arc(start: float, stop: float, points: int) -> Polygon:
    """Returns points on the circle of radius 1 between two angles; as y points down, angles turn clockwise."""
    angles = np.linspace(start, stop, points)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


CIRCLE = _arc(0.0, 2 * np.pi, 25)[:-1]
RIGHT_HALF, UPPER_HALF = _arc(-np.pi / 2, np.pi / 2, 9), _arc(np.pi, 2 * np.pi, 13)


class Part(NamedTuple):
    """One polygon of a figure and its colour, RGB in [0, 1]."""

    polygon: Polygon
    colour: Colour


class Sprite(NamedTuple):
    """A drawn figure: the pixels of its box, the first of which lies at (left, top) in the image.

    rgb: in [0, 1]. cover: the share of each pixel that the figure covers. shadow: the share of its light that the
    ground loses in each pixel.
    """

    rgb: Float[np.ndarray, "h w 3"]
    cover: Float[np.ndarray, "h w"]
    shadow: Float[np.ndarray, "h w"]
    left: int
    top: int


def person(rng: np.random.Generator) -> list[Part]:
    """Returns a person from the front, about 1 high; some wave, some have a skirt, a hat, stripes or long hair."""
    skin, hair = _choose(SKINS, rng), _choose(HAIRS, rng)
    shirt, trousers, shoes = _bright(rng), _bright(rng, value=(0.2, 0.65)), _bright(rng, value=(0.1, 0.5))
    build = rng.uniform(0.9, 1.25)
    shoulder, hip, stride = 0.105 * build, 0.055 * build, rng.uniform(0.05, 0.12)
    skirt = rng.random() < 0.3
    parts = []
    if rng.random() < 0.4:
        parts.append(Part(_limb((0.0, -0.9), (0.0, -0.76), 0.088, 0.075), hair))
    if not skirt:
        parts.append(Part(_limb((-hip, -0.46), (hip, -0.46), 0.06, 0.06), _shade(trousers, -1)))
    for side in (-1, 1):
        foot = (side * stride, -0.05)
        parts.append(
            Part(_limb((side * hip, -0.46), foot, 0.062 * build, 0.04), skin if skirt else _shade(trousers, side))
        )
        parts.append(Part(_ellipse(side * (stride + 0.015), -0.03, 0.058, 0.03), shoes))
    parts.append(Part(_limb((0.0, -0.75), (0.0, -0.84), 0.04, 0.04), _shade(skin, 1)))
    for side in (-1, 1):
        parts += _arm(side, shoulder, _shade(shirt, side), skin, rng)
    parts.append(Part(_limb((0.0, -0.71), (0.0, -0.53), shoulder + 0.02, 0.085 * build), shirt))
    if rng.random() < 0.4:
        stripe = _bright(rng)
        for y in (-0.72, -0.63, -0.54):
            half = np.interp(y, (-0.71, -0.53), (shoulder + 0.005, 0.08 * build))
            parts.append(Part(np.array([(-half, y), (half, y), (half, y + 0.045), (-half, y + 0.045)]), stripe))
    if skirt:
        hem = 0.17 * build
        parts.append(Part(np.array([(-0.075, -0.53), (0.075, -0.53), (hem, -0.25), (-hem, -0.25)]), trousers))
    return parts + _head(skin, hair, rng)


def dog(rng: np.random.Generator) -> list[Part]:
    """Returns a dog from the side, about half as high as a person, facing left or right."""
    coat, other, collar = _choose(COATS, rng), _choose(COATS, rng), _bright(rng)
    length, snout = rng.uniform(0.15, 0.23), rng.uniform(0.09, 0.14)
    head = (length + 0.13, -0.43 - rng.uniform(0, 0.06))
    parts = [Part(_limb((-length - 0.06, -0.33), (-length - 0.16, rng.uniform(-0.56, -0.4)), 0.035, 0.022), coat)]
    for x, far in ((-length - 0.01, True), (length - 0.06, True), (-length - 0.07, False), (length, False)):
        colour = _shade(coat, 1) if far else coat
        parts.append(Part(_limb((x, -0.24), (x + rng.uniform(-0.04, 0.04), -0.035), 0.05, 0.034), colour))
    parts.append(Part(_limb((-length, -0.3), (length, -0.3), 0.105, 0.115), coat))
    parts.append(Part(_ellipse(rng.uniform(-length, 0.03), -0.33, 0.09, 0.06), other))
    parts.append(Part(_limb((length + 0.02, -0.34), head, 0.075, 0.07), coat))
    parts.append(Part(_limb((length + 0.03, -0.385), (length + 0.115, -0.345), 0.018, 0.018), collar))
    parts.append(Part(_limb((head[0] + 0.03, head[1] + 0.015), (head[0] + snout, head[1] + 0.03), 0.06, 0.042), coat))
    parts.append(Part(_ellipse(*head, 0.09, 0.085), coat))
    parts.append(Part(_limb((head[0] - 0.045, head[1] - 0.05), (head[0] - 0.075, head[1] + 0.06), 0.035, 0.04), other))
    parts.append(Part(_ellipse(head[0] + snout + 0.032, head[1] + 0.015, 0.022, 0.02), DARK))
    parts.append(Part(_ellipse(head[0] + 0.035, head[1] - 0.02, 0.014, 0.016), DARK))
    facing = rng.choice((-1, 1))
    return [Part(polygon * (facing, 1), colour) for polygon, colour in parts]


def ball(rng: np.random.Generator) -> list[Part]:
    """Returns a beach ball, about two fifths as high as a person, with panels of two or three colours."""
    radius = rng.uniform(0.17, 0.21)
    colours = [_bright(rng), WHITE, _bright(rng), WHITE]
    panels, turn = 8, rng.uniform(0, 2 * np.pi)
    pole = np.array((np.cos(turn), np.sin(turn))) * rng.uniform(0.2, 0.55) * radius
    parts = []
    for panel in range(panels):
        rim = radius * _arc(turn + panel * 2 * np.pi / panels, turn + (panel + 1) * 2 * np.pi / panels, 7)
        parts.append(Part(np.concatenate([pole[None], rim]) - (0, radius), colours[panel % len(colours)]))
    parts.append(Part(_ellipse(pole[0], pole[1] - radius, 0.16 * radius, 0.16 * radius), colours[0]))
    return parts


def bounds(figure: list[Part]) -> Float[np.ndarray, " 4"]:
    """Returns the tight xyxy box of a figure in its own frame."""
    points = np.concatenate([part.polygon for part in figure])
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def render(figure: list[Part], x: float, y: float, scale: float, grain: Float[np.ndarray, "gh gw"]) -> Sprite:
    """Draws a figure that touches the ground at (x, y), with `scale` pixels for each of its units.

    The light comes from the upper left. grain: the texture of the surface, as brightness around 0, repeated as needed.
    """
    x1, y1, x2, y2 = bounds(figure) * scale + (x, y, x, y)
    left, top = int(np.floor(x1)), int(np.floor(y1))
    width, height = int(np.ceil(x2)) - left, int(np.ceil(y2)) - top
    image = Image.new("RGBA", (width * SUPERSAMPLING, height * SUPERSAMPLING))
    draw = ImageDraw.Draw(image)
    for polygon, colour in figure:
        # Pillow also fills the pixels under the outline; moving it by half a pixel keeps the figure in its box.
        points = (polygon * scale + (x - left, y - top)) * SUPERSAMPLING - 0.5
        draw.polygon(points.ravel().tolist(), fill=tuple(round(255 * channel) for channel in colour))
    image = image.reduce(SUPERSAMPLING)
    rgba = np.asarray(image, dtype=np.float32) / 255
    light = _relief(image.getchannel("A"), radius=0.05 * scale)
    light = light * (1 + grain[np.arange(height) % grain.shape[0]][:, np.arange(width) % grain.shape[1]])
    rgb = np.clip(rgba[..., :3] * light[..., None], 0, 1)
    return Sprite(rgb=rgb, cover=rgba[..., 3], shadow=_shadow(height, width), left=left, top=top)


def _arm(side: int, shoulder: float, sleeve: Colour, skin: Colour, rng: np.random.Generator) -> list[Part]:
    raised = rng.random() < 0.2
    angle = rng.uniform(1.7, 2.4) if raised else rng.uniform(0.1, 0.55)
    bend = rng.uniform(0.2, 0.7) if raised else rng.uniform(-0.3, 0.3)
    start = np.array((side * shoulder, -0.74))
    elbow = start + 0.17 * np.array((side * np.sin(angle), np.cos(angle)))
    hand = elbow + 0.16 * np.array((side * np.sin(angle + bend), np.cos(angle + bend)))
    bare = rng.random() < 0.5
    return [
        Part(_limb(elbow, hand, 0.033, 0.028), skin if bare else sleeve),
        Part(_ellipse(hand[0], hand[1], 0.034, 0.034), skin),
        Part(_limb(start, elbow, 0.045, 0.037), sleeve),
    ]


def _head(skin: Colour, hair: Colour, rng: np.random.Generator) -> list[Part]:
    fringe = UPPER_HALF * (0.084, 0.1) - (0, 0.905)
    parts = [Part(_ellipse(0.0, -0.89, 0.078, 0.092), skin), Part(fringe, hair)]
    parts += [Part(_ellipse(side * 0.03, -0.88, 0.011, 0.014), DARK) for side in (-1, 1)]
    if rng.random() < 0.25:
        hat = _bright(rng)
        parts += [
            Part(_ellipse(0.0, -0.95, 0.085, 0.06), hat),
            Part(_limb((-0.09, -0.93), (0.09, -0.93), 0.018, 0.018), hat),
        ]
    return parts


def _ellipse(x: float, y: float, x_radius: float, y_radius: float) -> Polygon:
    return CIRCLE * (x_radius, y_radius) + (x, y)


def _limb(start: Point, end: Point, r1: float, r2: float) -> Polygon:
    """Returns a bar between two points, with round ends of the radii r1 and r2."""
    start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    x, y = (end - start) / np.hypot(*(end - start))
    cap = RIGHT_HALF @ np.array([(x, y), (-y, x)])
    return np.concatenate([end + r2 * cap, start - r1 * cap])


def _relief(cover: Image.Image, radius: float) -> Float[np.ndarray, "h w"]:
    """Returns the brightness of a surface that is as round as its outline, lit from the upper left."""
    step = max(round(radius), 1)
    padded = np.pad(np.asarray(cover), step)
    smooth = (
        np.asarray(Image.fromarray(padded).filter(ImageFilter.BoxBlur(max(float(radius), 1.0))), dtype=np.float32) / 255
    )
    slope = smooth[2 * step :, 2 * step :] - smooth[: -2 * step, : -2 * step]
    return 1 + 0.35 * slope


def _shadow(height: int, width: int) -> Float[np.ndarray, "h w"]:
    """Returns a soft ellipse at the feet, inside the figure's box."""
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    depth = 0.07 * height
    return 0.5 * np.maximum(1 - (2 * x / width - 1) ** 2 - ((y - height + depth) / depth) ** 2, 0)


def _choose(colours: tuple[Colour, ...], rng: np.random.Generator) -> Colour:
    r, g, b = np.clip(np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.85, 1.05), 0, 1)
    return r, g, b


def _bright(rng: np.random.Generator, value: tuple[float, float] = (0.45, 0.95)) -> Colour:
    return _hsv(rng.random(), rng.uniform(0.3, 0.8), rng.uniform(*value))


def _shade(colour: Colour, side: int) -> Colour:
    r, g, b = (channel * (0.82 if side > 0 else 0.94) for channel in colour)
    return r, g, b


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    return colorsys.hsv_to_rgb(hue % 1, saturation, value)
