#!/usr/bin/env bash
# All that wants a GPU, in one go of less than ten minutes: `bash benchmarks/gpu.sh FOLDER`, then read FOLDER/*.txt.
# Tests on the GPU come first, then the figures that docs/results/speed.md and docs/scale.md lack. Each step has its
# own limit, and one that fails or is cut short leaves the others be. `TOY=1` does the same at a size for any machine.
# PYTHON (by default .venv's, or python3) needs the packages of pyproject.toml; transformers' peers are left out without
# transformers.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:?give a folder for the results}
mkdir -p "$out"
out=$(cd "$out" && pwd)
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
export PYTHONPATH="src:.${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1

step() { # NAME SECONDS ARGUMENTS...: runs python with a limit, its output in a file and on the screen
    local name=$1 seconds=$2
    shift 2
    echo "== $name: python $*"
    timeout "$seconds" "$python" "$@" 2>&1 | tee "$out/$name.txt" | tail -n 25
    local status=${PIPESTATUS[0]}
    [ "$status" -eq 0 ] || echo "== $name ended with status $status" | tee -a "$out/$name.txt"
}
benchmark() { # NAME SECONDS MODULE ARGUMENTS...
    local name=$1 seconds=$2 module=$3
    shift 3
    step "$name" "$seconds" -m "benchmarks.$module" "$@" --append "$out/results.jsonl"
}

if [ -n "${TOY:-}" ]; then
    small=(--backbone resnet10t --stages 1 --rounds 1)
    size=(--height 128 --width 160)
    step tests 120 -m pytest -q tests/models/test_weighted_rows.py tests/models/test_on_gpu.py
    benchmark inference-1 120 inference "${size[@]}" "${small[@]}" --proposals 10 --ways eager plain --heads --bf16
    benchmark training 120 training "${size[@]}" "${small[@]}" --proposals 10 --no-memory
    benchmark roofline 120 roofline "${size[@]}" "${small[@]}" --proposals 10 --matrix 256
    benchmark growth 120 growth "${small[@]}" --lines proposals pixels objects --proposals 10 20 40 --sides 96 128 160 \
        --objects 1 4 8 --no-memory
else
    paper=(--height 800 --width 1333)
    step tests 120 -m pytest -q tests/models/test_weighted_rows.py tests/models/test_on_gpu.py \
        tests/models/test_compiled.py
    benchmark training 150 training "${paper[@]}" --batch-size 16 --rounds 3 --steps 3
    benchmark inference-1 130 inference "${paper[@]}" --rounds 20 --proposals 100 500 --ways eager compiled plain --heads \
        --bf16
    benchmark inference-8 60 inference "${paper[@]}" --rounds 10 --batch 8 --proposals 100 500 --bf16 --torchvision-only
    benchmark roofline 40 roofline "${paper[@]}" --batch-size 8
    benchmark training-crowd 60 training "${paper[@]}" --batch-size 8 --objects 23 --proposals 500 --rounds 2 --steps 2 \
        --precisions bf16
    benchmark growth 60 growth --lines proposals pixels objects --rounds 2 --no-memory
fi
