"""Compares each part of our model with the machine's limits: `python -m benchmarks.roofline` from the project's root.

A large matrix product gives the machine's FLOP/s and the copy of a large tensor its bytes/s, in the same precision and
in the same rounds as the model, which is converted for inference. The product is computed both as a matrix product and
as a 1 x 1 convolution, because a CPU uses two libraries for them, and the faster one counts. The least time of a part
is that of its FLOPs or that of its bytes, whichever is longer. "Times off" is its measured time divided by its least
time.

FLOPs are counted on the meta device, two for each multiply-accumulate, as in `uncrowd.models.cost` but without norms.
Bytes are those of the tensors that each operation reads and writes; a lookup reads at most as many rows of its table as
it looks up. This measures how well the existing operations use the machine, not whether fewer of them would do. A part
whose tensors stay in a cache can be faster than a copy. Parts are timed with a wait for the device after each, so the
cost of many small operations on a GPU shows. The last line has no such waits, and on a GPU it replays a CUDA graph, as
users do.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
import tyro
from benchmarks.command import run
from benchmarks.made_up_model import BatchConfig, build_model, made_up_batch
from benchmarks.parts import MODEL_PARTS, REST, Parts, clock, parts_of
from benchmarks.record import append, conditions, require_appendable
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from uncrowd.acceleration.for_inference import for_inference
from uncrowd.engine.accelerator import build_accelerator
from uncrowd.engine.micro_batches import to_device
from uncrowd.errors import InputError, require_at_least
from uncrowd.freed_memory import keep_freed_memory
from uncrowd.inference.cuda_graphs import CudaGraphs
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.ops.roi_sampling import TERMS
from uncrowd.structures import Batch
from uncrowd.words import counted

Precision = Literal["fp32", "tf32", "bf16"]

WARM_UP = 2  # rounds; on a GPU, the CUDA graph is captured in the second
FAR_OFF = 3  # parts that are more times off are marked
UNWRITTEN = ("aten::empty", "aten::new_empty", "aten::empty_like", "aten::empty_strided")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare the speed of each part of our model with a matrix product and a copy."""

    # Height of the images, in pixels.
    height: int = 800
    # Width of the images.
    width: int = 1088
    # Images in a batch.
    batch_size: int = 1
    # Proposals of the model.
    proposals: int = 100
    # Stages of the model.
    stages: int = 6
    # The parts of each stage.
    stage: StageConfig = field(default_factory=StageConfig)
    # Backbone: a timm network.
    backbone: str = "resnet50"
    # tf32 exists only on GPUs. bf16 is autocast, which on a CPU pays only with AMX or avx512_bf16. By default fp32, and
    # on a GPU all three.
    precisions: tuple[Precision, ...] = field(
        default_factory=lambda: ("fp32", "tf32", "bf16") if torch.cuda.is_available() else ("fp32",)
    )
    # Rows and columns of the matrices, by default 2048, and on a GPU 8192. The copied tensor has 4 times as many of
    # each.
    matrix: int = field(default_factory=lambda: 8192 if torch.cuda.is_available() else 2048)
    # Rounds, after two that are not counted.
    rounds: int = 5
    # Keep freed memory, as the `uncrowd` command does on a CPU.
    keep_freed_memory: bool = False
    # Also append the result as a line of JSON to this file.
    append: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None

    def __post_init__(self) -> None:
        """Raises InputError when there is nothing to time, or the file to append to cannot be written."""
        require_at_least(32, **{"--height": self.height, "--width": self.width, "--matrix": self.matrix})
        require_at_least(1, **{"--batch-size": self.batch_size, "--proposals": self.proposals})
        require_at_least(1, **{"--stages": self.stages, "--rounds": self.rounds})
        if not self.precisions:
            raise InputError("--precisions is empty; there is nothing to time.")
        if "tf32" in self.precisions and not torch.cuda.is_available():
            raise InputError("tf32 is a precision of GPUs, and there is none here; leave it out of --precisions.")
        require_appendable(self.append)  # last, because it creates the file


class Work(NamedTuple):
    """FLOPs and bytes of each part."""

    flops: Counter[str]
    bytes: Counter[str]


class Limits(NamedTuple):
    """The machine's speeds in their best rounds: FLOP/s of the product, computed in two ways, and bytes/s of a copy."""

    product: float
    convolution: float
    bytes: float

    @property
    def flops(self) -> float:
        """FLOP/s of the faster way."""
        return max(self.product, self.convolution)


class Seconds(NamedTuple):
    """Seconds in each round: of each part, and of the whole model without waits."""

    parts: list[dict[str, float]]
    whole: list[float]


def main(argv: Sequence[str]) -> int:
    """Prints a table for each precision."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.roofline")
    kept = arguments.keep_freed_memory and keep_freed_memory()
    device = build_accelerator().device
    config = SparseRCNNConfig(
        proposals=arguments.proposals,
        stages=arguments.stages,
        stage=arguments.stage,
        backbone=BackboneConfig(name=arguments.backbone),
    )
    model = build_model(config).to(device)
    size = BatchConfig(images=arguments.batch_size, height=arguments.height, width=arguments.width, objects=1)
    batch = to_device(made_up_batch(size), device)
    flops = _flops(config, batch)
    print(conditions(kept=kept))
    print(
        f"{counted(arguments.batch_size, 'image')} of {arguments.height} x {arguments.width}, {arguments.backbone}, "
        f"{counted(arguments.proposals, 'proposal')}, {counted(arguments.stages, 'stage')}, inference, "
        f"{counted(arguments.rounds, 'round')}"
    )
    results: dict[str, Any] = {}
    for precision in arguments.precisions:
        converted = for_inference(model, bf16=precision == "bf16")
        with _in(precision, device):
            work = Work(flops, _bytes(converted, batch))
            limits, seconds = _measure(converted, batch, precision, arguments)
        print(f"\n{table(precision, work, limits, seconds)}")
        results[precision] = {"work": work._asdict(), "limits": limits._asdict(), "seconds": seconds._asdict()}
    if arguments.append is not None:
        append(arguments.append, "roofline", arguments, {"results": results, "keep_freed_memory": kept})
    return 0


@contextmanager
def _in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Runs convolutions and matrix products in this precision; torch's default is tf32 for convolutions only."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "fp32"
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _flops(config: SparseRCNNConfig, batch: Batch) -> Counter[str]:
    with torch.device("meta"):
        model = SparseRCNN(config)
    counter = FlopCounterMode(display=False)
    parts = Parts(counter.get_total_flops)
    with counter, parts.watching(parts_of(model)):
        model(batch.images.to("meta"), batch.sizes.to("meta"))
    return parts.of_part


class BytesMoved(TorchDispatchMode):
    """Counts what operations read and write; views do neither."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        read, written = _tensors((args, kwargs)), _tensors(result)
        owned = {tensor.untyped_storage().data_ptr() for tensor in read}
        is_view = bool(written) and all(tensor.untyped_storage().data_ptr() in owned for tensor in written)
        if func._schema.is_mutable or not is_view:
            self.total += sum(map(_size, [] if func._schema.name in UNWRITTEN else [*read, *written]))
            looked_up = _looked_up(func._schema.name, read, written)
            if looked_up is not None:
                self.total -= max(0, _size(read[0]) - looked_up * read[0].shape[-1] * read[0].element_size())
        return result


def _looked_up(operation: str, read: list[Tensor], written: list[Tensor]) -> int | None:
    """Returns how many rows an operation looks up in its first tensor, or None if it reads all of it."""
    if "_embedding_bag" in operation:
        return read[1].numel()
    if operation == "uncrowd::roi_align":
        return TERMS * written[0].shape[:2].numel()
    return None


def _bytes(model: SparseRCNN, batch: Batch) -> Counter[str]:
    counter = BytesMoved()
    parts = Parts(lambda: counter.total)
    with counter, parts.watching(parts_of(model)):
        model.decode(model(batch.images, batch.sizes))
    return parts.of_part


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _size(tensor: Tensor) -> int:
    """Returns the bytes of a tensor; those of an expanded tensor count once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _measure(model: SparseRCNN, batch: Batch, precision: Precision, arguments: Arguments) -> tuple[Limits, Seconds]:
    """Measures the machine's limits and the times of the model, which was converted for this precision."""
    side, device = arguments.matrix, batch.images.device
    matrices = torch.randn(2, side, side, device=device).to(torch.bfloat16 if precision == "bf16" else torch.float32)
    # the same product in channels last: rows of one matrix are pixels, columns of the other are kernels
    pixels = matrices[0].view(1, 1, side, side).permute(0, 3, 1, 2)
    kernels = matrices[1].T.contiguous()[:, :, None, None]
    original = torch.zeros(4 * side, 4 * side, device=device)
    copy = torch.empty_like(original)
    detect = CudaGraphs(model.detect) if device.type == "cuda" else model.detect
    times: dict[str, list[float]] = defaultdict(list)
    parts: list[dict[str, float]] = []
    for _ in range(WARM_UP + arguments.rounds):
        times["product"].append(_seconds(lambda: matrices[0] @ matrices[1]))
        times["convolution"].append(_seconds(lambda: F.conv2d(pixels, kernels)))
        times["copy"].append(_seconds(lambda: copy.copy_(original)))
        times["whole"].append(_seconds(lambda: detect(batch.images, batch.sizes)))
        of_part = Parts(clock)
        with of_part.watching(parts_of(model)):
            model.decode(model(batch.images, batch.sizes))
        parts.append(dict(of_part.of_part))
    product, convolution, copied = (min(times[name]) for name in ("product", "convolution", "copy"))
    limits = Limits(2 * side**3 / product, 2 * side**3 / convolution, 2 * _size(original) / copied)
    return limits, Seconds(parts[WARM_UP:], times["whole"][WARM_UP:])


def _seconds(call: Callable[[], object]) -> float:
    start = clock()
    call()
    return clock() - start


def table(precision: str, work: Work, limits: Limits, seconds: Seconds) -> str:
    """Returns the machine's limits and one line for each part."""
    lines = [
        f"{precision}: a matrix product does {limits.product / 1e9:,.0f} GFLOP/s, as a 1 x 1 convolution "
        f"{limits.convolution / 1e9:,.0f}; a copy {limits.bytes / 1e9:,.1f} GB/s",
        f"{'':24}{'ms':>9}{'GFLOP':>9}{'GFLOP/s':>10}{'share':>8}{'GB':>9}{'GB/s':>8}{'share':>8}   times off",
    ]
    rounds = seconds.parts
    rows = {part: [of_part[part] for of_part in rounds] for part in MODEL_PARTS if rounds[0].get(part)}
    totals = {"all, part by part": [sum(of_part.values()) for of_part in rounds], "all, without stops": seconds.whole}
    for name, times in (rows | totals).items():
        flops, bytes_ = (count.total() if name in totals else count[name] for count in work)
        middle, least = statistics.median(times), max(flops / limits.flops, bytes_ / limits.bytes)
        off = [] if name == REST else [time / least for time in times]  # it computes next to nothing
        line = f"{name:24}{1000 * middle:9.2f}"
        for count, limit, width in ((flops, limits.flops, 10), (bytes_, limits.bytes, 8)):
            speed = count / middle
            line += f"{count / 1e9:9.3f}{speed / 1e9:{width},.1f}{speed / limit:8.0%}"
        lines.append(line + f"   {_times_off(off) if off else '-'}")
    return "\n".join(lines)


def _times_off(off: Sequence[float]) -> str:
    middle = statistics.median(off)
    return f"{middle:.1f} ({min(off):.1f} to {max(off):.1f}){'  <-- far off' if middle > FAR_OFF else ''}"


if __name__ == "__main__":
    run(main)
