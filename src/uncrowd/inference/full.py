"""Says where a detector reports as many objects as it can, so that an image may hold more."""

from collections.abc import Sequence

from uncrowd.inference.merge import Grid
from uncrowd.models.detector import DetectorConfig
from uncrowd.structures import Detections

# The share of a detector's most from which an image or a tile counts as full. Some queries share one object, so a full
# image rarely gives all of them a high score.
FULL = 0.9


def note_if_full(found: Detections, config: DetectorConfig, grid: Grid | None, *, tiles: bool) -> str | None:
    """Returns a sentence if an image, or one of its tiles, has nearly as many objects as the detector can report.

    found: the objects that are reported, in image pixels. config: the detector's. grid: the tiles that the image was
    cut into; None where it was not. tiles: whether tiles were asked for.
    """
    most = config.proposals
    if grid is None:
        if len(found) < FULL * most:
            return None
        where = f"the detector reports at most {most} objects in an image"
    else:
        counts = _in_tiles(found, grid)
        full = sum(count >= FULL * most for count in counts)
        if not full:
            return None
        where = f"the detector reports at most {most} objects in a tile, and {full} of {len(counts)} have about as many"
    if config.any_proposals:
        mend = "ask for more proposals (--proposals)"
    else:  # what a tile should measure depends on the size of objects in training, which is not known here
        mend = f"{'use smaller' if tiles else 'cut it into'} tiles (--tiles)"
    return f"{where}, so more may be there; {mend}"


def _in_tiles(found: Detections, grid: Grid) -> Sequence[int]:
    """Returns the number of objects whose centre is in each tile; in an overlap they count for each tile."""
    x, y = (found.boxes[:, :2] + found.boxes[:, 2:]).div(2).unbind(dim=1)
    rows = [(top <= y) & (y < bottom) for top, bottom in grid.rows]
    columns = [(left <= x) & (x < right) for left, right in grid.columns]
    return [int((row & column).sum()) for row in rows for column in columns]
