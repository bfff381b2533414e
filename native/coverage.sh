#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Counts the lines of Python and of C++ that the tests run: the native module is built with counters, apart from the usual one.
# Takes three times as long as the tests.
#
#   native/coverage.sh                        all tests but those of training
#   native/coverage.sh tests/unit tests/cli   some
#
#   PYTHON=.venv/bin/python   an interpreter with the groups `test` and `coverage`; nothing in its environment is changed
#   COVERAGE_DIR=...          where the build and the reports go (default: build/coverage)
#   WORKERS=1                 processes that share the tests (default: one a core)
set -euo pipefail

. "$(dirname "$0")/apart.sh"
folder=${COVERAGE_DIR:-$root/build/coverage}
[ $# -gt 0 ] || set -- --ignore tests/models
build_apart "$folder" BBCODEC_COVERAGE=ON
find "$folder/cmake" -name '*.gcda' -delete
# Processes that tests start count too.
echo 'import coverage; coverage.process_startup()' >"$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/counted.pth"

export COVERAGE_FILE=$folder/.coverage
rm -f "$COVERAGE_FILE"*
status=0
# Where files may not grow, the counts of that process cannot be written either.
python -m pytest -q -k 'not full_disk' -p no:cacheprovider --numprocesses "${WORKERS:-auto}" --timeout 1800 --cov --cov-report= "$@" || status=$?
python -m coverage report >"$folder/python.txt"
# A line of a template or of a file that is compiled for several targets is run if it is in one of them.
python -m gcovr --root "$root" --filter native/ --merge-lines --exclude-throw-branches --exclude-noncode-lines \
  --gcov-ignore-errors all --gcov-suspicious-hits-threshold 0 --object-directory "$folder/cmake" --print-summary \
  --txt "$folder/native.txt" "$folder"/cmake/CMakeFiles/{_native,bbcodec_core}.dir/native >"$folder/summary.txt" 2>"$folder/gcovr.log"
echo "== Python, lines of all files: $folder/python.txt"
tail -n 3 "$folder/python.txt"
echo "== C++, lines of all files: $folder/native.txt"
head -n 1 "$folder/summary.txt"
exit $status
