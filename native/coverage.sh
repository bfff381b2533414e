#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Counts the lines of Python and of C++ that the tests run: the native module is built with counters, apart from the usual one.
#
#   native/coverage.sh                        all tests
#   native/coverage.sh tests/unit tests/cli   some
#
#   PYTHON=.venv/bin/python   an interpreter with the extra `test`; nothing in its environment is changed
#   COVERAGE_DIR=...          where the build and the reports go (default: build/coverage)
#   WORKERS=1                 processes that share the tests (default: one a core)
set -euo pipefail

. "$(dirname "$0")/apart.sh"
folder=${COVERAGE_DIR:-$root/build/coverage}
build_apart "$folder" BBCODEC_COVERAGE=ON
find "$folder" -name '*.gcda' -delete

export COVERAGE_FILE=$folder/.coverage
rm -f "$COVERAGE_FILE"*
status=0
python -m pytest -q -p no:cacheprovider --numprocesses "${WORKERS:-auto}" --timeout 1800 --cov --cov-report= "$@" || status=$?
python -m coverage report >"$folder/python.txt" || true
python -m gcovr --root "$root" --filter native/ --exclude-throw-branches --exclude-noncode-lines --print-summary \
  --txt "$folder/native.txt" "$folder/cmake" >"$folder/summary.txt"
echo "== Python (all lines: $folder/python.txt)"
tail -n 1 "$folder/python.txt"
echo "== C++ (all lines: $folder/native.txt)"
cat "$folder/summary.txt"
exit $status
