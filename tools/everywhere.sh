#!/usr/bin/env bash
# Check that bytes and pixels are the same with other kernels, threads, batches, and versions of Python and numpy; see sameness.py.
# Prints one line for each.
#
#   bash tools/everywhere.sh python3.11 python3.12 python3.13
#
# The first Python has mnistzip installed; it runs with every kernel of OpenBLAS that this processor supports. For each named Python, two virtual
# environments are made in a temporary folder: with the oldest numpy that mnistzip supports and that has wheels for this Python, and with the newest.
set -euo pipefail
cd "$(dirname "$0")/.."
here=${1:?name the Pythons to try, the first of which has mnistzip installed}
status=0
try() { # description, then the command
  local what=$1
  shift
  local line
  line=$("$@") || status=1
  echo "$what: $line"
}

export OPENBLAS_NUM_THREADS=1
for core in Prescott Core2 Nehalem Sandybridge Haswell Zen SkylakeX Cooperlake; do
  case $core in SkylakeX | Cooperlake) grep -q avx512f /proc/cpuinfo || continue ;; esac
  OPENBLAS_CORETYPE=$core try "kernels $core" "$here" tools/sameness.py
done
for threads in 2 4; do
  OPENBLAS_NUM_THREADS=$threads try "$threads threads" "$here" tools/sameness.py
done
for batch in 1 7; do
  try "batches of $batch, backwards" "$here" tools/sameness.py --batch $batch --reverse
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for python in "$@"; do
  for numpy in "numpy==2.0.*" "numpy==2.1.*" "numpy>=2.2"; do
    rm -rf "$folder/venv"
    "$python" -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --only-binary=:all: "$numpy" pillow click rich 2> "$folder/log" || continue # no wheels
    "$folder/venv/bin/pip" install --quiet --no-deps . 2> "$folder/log" || { cat "$folder/log" >&2; exit 1; }
    try "$numpy" "$folder/venv/bin/python" tools/sameness.py
  done
done
exit $status
