#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the native module with AddressSanitizer and UndefinedBehaviorSanitizer, apart from the usual one, and runs with it
# what is given, or the tests of the native module and a short fuzz run.  Any report ends the process that makes it.
#
#   native/sanitize.sh                                       the tests and the fuzz run
#   native/sanitize.sh python tests/fuzz/run.py --seconds 600
#
#   PYTHON=.venv/bin/python   an interpreter with what the tests need; nothing in its environment is changed
#   SANITIZE_DIR=...          where the build goes (default: build/sanitize)
set -euo pipefail

. "$(dirname "$0")/apart.sh"
build_apart "${SANITIZE_DIR:-$root/build/sanitize}" BBCODEC_SANITIZE=ON

# Python itself is not built with sanitizers: their library must be there before it.  libstdc++ too, or the sanitizer does not
# find what throws exceptions.  What Python never frees is no finding.
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so)"
export LD_PRELOAD
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:handle_segv=1:quarantine_size_mb=16:${ASAN_OPTIONS:-}
export UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1:${UBSAN_OPTIONS:-}
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

python - <<'PY'
import pathlib

from bbcodec import _native

assert b"__asan_init" in pathlib.Path(_native.__file__).read_bytes(), f"{_native.__file__} is not sanitized"
PY
if [ $# -gt 0 ]; then
  exec "$@"
fi
python -m pytest -q -p no:cacheprovider tests/native/test_kernels.py
python tests/fuzz/run.py --seconds 60
