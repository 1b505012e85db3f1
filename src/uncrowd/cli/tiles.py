"""The flags that cut images into tiles, which `predict` and `eval` share."""

from uncrowd.data.transforms import LEAST_TILE
from uncrowd.errors import InputError, require_at_least
from uncrowd.inference.tiles import TilesConfig


def read_tiles(side: int | None, overlap: int | None, max_pixels: int | None) -> TilesConfig | None:
    """Returns what --tiles and --overlap ask for; the overlap is by default a fifth of the side.

    Raises InputError for values out of range, which also --max-pixels can have, and for an overlap without tiles.
    """
    require_at_least(1, **{"--max-pixels": 1 if max_pixels is None else max_pixels})
    if side is None:
        if overlap is not None:
            raise InputError("--overlap is that of tiles; give --tiles too, or leave --overlap out.")
        return None
    require_at_least(LEAST_TILE, **{"--tiles": side})
    if overlap is None:
        return TilesConfig.of_side(side)
    if not 1 <= overlap <= side // 2:
        raise InputError(f"--overlap is {overlap}; give 1 to {side // 2}, half of --tiles.")
    return TilesConfig(side=side, overlap=overlap)
