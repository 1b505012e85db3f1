"""Numbers for TensorBoard, written at once, so that a disk that is full is met where a run can say so.

torch's SummaryWriter writes from a thread of its own, where an error ends in a traceback that nobody can catch.
"""

import time
from pathlib import Path
from typing import Any, cast

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from uncrowd.engine.sink import Row

# Classes that are made when their modules are imported, of which type checkers know nothing.
_EVENT, _SESSION = cast(Any, event_pb2).Event, cast(Any, event_pb2).SessionLog
_SUMMARY = cast(Any, summary_pb2).Summary


class TensorboardFile:
    """A new file of events in a folder, a `Sink`.

    first_step: TensorBoard drops what earlier files hold from this step on. All methods raise OSError when the disk is
    full or the folder cannot be written.
    """

    def __init__(self, folder: Path, first_step: int):
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob("*tfevents*")))
        self._file = RecordWriter((folder / _name(int(time.time()), number)).open("ab"))
        self._write(_EVENT(file_version="brain.Event:2"))
        self._write(_EVENT(step=first_step, session_log=_SESSION(status=_SESSION.START)))

    def write(self, row: Row) -> None:
        """Writes the numbers of a row, all at its step."""
        values = [_SUMMARY.Value(tag=name, simple_value=number) for name, number in row.numbers.items()]
        self._write(_EVENT(step=row.step, summary=_SUMMARY(value=values)))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._file.write(event.SerializeToString())
        self._file.flush()


def _name(second: int, number: int) -> str:
    """Returns the name of a file. TensorBoard reads files in the order of their names."""
    return f"events.out.tfevents.{second:010d}.{number:04d}"
