"""`python -m tests.core_alone VERB ...`: the command as it is where `pip install uncrowd` brought no extra."""

import sys
from importlib.machinery import PathFinder

from uncrowd.cli import main
from uncrowd.extras import EXTRA_OF


class CoreAlone(PathFinder):
    """Finds no package of an extra, which is then not installed for who imports it and for who only looks for it."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.partition(".")[0] in EXTRA_OF else super().find_spec(fullname, path, target)


def block_extras() -> None:
    sys.meta_path[sys.meta_path.index(PathFinder)] = CoreAlone


if __name__ == "__main__":
    block_extras()
    sys.exit(main(sys.argv[1:]))
