#!/usr/bin/env bash
# Runs everything that needs a GPU: `bash benchmarks/gpu.sh FOLDER`. Results are in FOLDER/*.txt. The time limits of the
# steps add up to less than ten minutes.
# The tests on the GPU come first, then the numbers of docs/results/speed_details.md and docs/scale.md. Memory, for which
# each detector has a process of its own, and the tests of compilation come last. If a step fails or is cut short, the
# others still run, its file holds the turns that it took, and the script ends with status 1.
# `TOY=1` runs the same steps at a size for any machine, without CUDA graphs, compilation and the tests of both.
# PYTHON (by default that of .venv, or python3) needs uncrowd (`pip install --no-deps .` is enough) and the packages of
# pyproject.toml. Without transformers, its detectors are left out.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:?give a folder for the results}
mkdir -p -- "$out" && out=$(cd -- "$out" && pwd) || { echo "$out is not a folder that can be written to" >&2; exit 2; }
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
export PYTHONPATH="src:.${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
failed=0

step() { # NAME SECONDS ARGUMENTS...: runs python with a time limit; its output goes to a file and to the screen
    local name=$1 seconds=$2
    shift 2
    echo "== $name: python $*"
    timeout "$seconds" "$python" "$@" 2>&1 | tee "$out/$name.txt" | tail -n 25
    local status=${PIPESTATUS[0]}
    if [ "$status" -ne 0 ]; then
        echo "== $name ended with status $status" | tee -a "$out/$name.txt"
        failed=$((failed + 1))
    fi
}
benchmark() { # NAME SECONDS MODULE ARGUMENTS...
    local name=$1 seconds=$2 module=$3
    shift 3
    step "$name" "$seconds" -m "benchmarks.$module" "$@" --append "$out/results.jsonl"
}

tests=(tests/ops/test_roi_align.py tests/ops/test_bias_relu_triton.py)
tests+=(tests/models/test_on_gpu.py tests/engine/test_train_on_gpu.py)
if [ -n "${TOY:-}" ]; then
    small=(--backbone resnet10t --stages 1 --rounds 1)
    size=(--height 128 --width 150)
    step tests 120 -m pytest -q "${tests[@]}"
    benchmark training 75 training "${size[@]}" "${small[@]}" --proposals 10 --no-memory
    benchmark inference-1 75 inference "${size[@]}" "${small[@]}" --proposals 10 --ways eager plain --heads --bf16
    benchmark roofline 50 roofline "${size[@]}" "${small[@]}" --proposals 10 --matrix 256
    benchmark inference-8 60 inference "${size[@]}" "${small[@]}" --batch 2 --proposals 10 --ways eager --bf16 \
        --torchvision-only
    benchmark training-crowd 60 training "${size[@]}" "${small[@]}" --objects 9 --proposals 20 --precisions bf16 \
        --no-memory
    benchmark memory 90 training "${size[@]}" "${small[@]}" --proposals 10 --precisions fp32
else
    paper=(--height 800 --width 1333)
    step tests 60 -m pytest -q "${tests[@]}" tests/acceleration/test_fuse.py
    # both precisions in the same rounds, so that ours in bf16 can be compared with the twin in fp32
    benchmark training 150 training "${paper[@]}" --batch-size 16 --rounds 5 --compile --no-memory
    benchmark inference-1 130 inference "${paper[@]}" --rounds 10 --proposals 100 500 \
        --ways eager graphs compiled plain --heads --bf16
    benchmark roofline 30 roofline "${paper[@]}" --batch-size 8 --rounds 3
    benchmark inference-8 35 inference "${paper[@]}" --rounds 5 --batch 8 --proposals 100 500 --ways eager graphs \
        --bf16 --torchvision-only
    benchmark training-crowd 45 training "${paper[@]}" --batch-size 8 --objects 23 --proposals 500 --rounds 3 \
        --precisions bf16 --no-memory
    benchmark memory 50 training "${paper[@]}" --batch-size 16 --rounds 1 --precisions bf16
    step tests-compiled 70 -m pytest -q tests/acceleration/test_compile.py
fi

if [ "$failed" -ne 0 ]; then
    echo "== steps that failed: $failed"
    exit 1
fi
