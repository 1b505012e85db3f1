"""Memory that runs out is said in one sentence, wherever it is noticed."""

from collections.abc import Iterator
from contextlib import contextmanager

from uncrowd.errors import InputError

# torch, cuBLAS, ONNX Runtime and the loading processes report it as plain errors; only their texts tell.
_SIGNS = (
    "out of memory",  # CUDA: torch.OutOfMemoryError and others
    "CUBLAS_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator",
    "could not create a primitive",  # oneDNN, on a CPU
    "std::bad_alloc",
    "bad allocation",
    "Cannot allocate memory",
    "Failed to allocate memory",
    "can't start new thread",  # whose stack has no room
    "is killed by signal: Killed",  # a loading process, by the system
    "out of shared memory",  # likewise, where /dev/shm is full
    "unable to allocate shared memory",
    "unable to resize file",  # of shared memory
)


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error of Python, torch, ONNX Runtime or the system, or its cause, says that memory ran out."""
    if isinstance(error, InputError):
        return False
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in _SIGNS):
        return True
    earlier = error.__cause__ or error.__context__  # as the ONNX exporter wraps what stopped it
    return earlier is not None and is_out_of_memory(earlier)


@contextmanager
def explain_out_of_memory(what: str, mend: str) -> Iterator[None]:
    """Raises InputError, "Memory ran out WHAT; MEND.", where the code inside runs out of memory."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(f"Memory ran out {what}; {mend}.") from error
