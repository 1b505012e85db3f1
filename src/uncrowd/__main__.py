"""`python -m uncrowd` is the `uncrowd` command, as `torchrun -m uncrowd train ...` needs it."""

from uncrowd.cli import run

run()
