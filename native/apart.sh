# SPDX-License-Identifier: Apache-2.0
# Sourced by sanitize.sh and coverage.sh: builds the native module in a way of its own, apart from the usual one.
#
#   build_apart FOLDER CMAKE_DEFINITION...    then `python` is an environment in FOLDER with that module
#
#   PYTHON=.venv/bin/python   an interpreter with what the tests need; nothing in its environment is changed

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || command -v python3)}

build_apart() {
  local folder=$1 definition options=()
  shift
  for definition in "$@"; do options+=(-C "cmake.define.$definition"); done
  mkdir -p "$folder"
  if [ ! -x "$folder/venv/bin/python" ]; then
    "$python" -m venv "$folder/venv"
    # The packages of the given environment are seen; its editable bbcodec is not, as its .pth files are not read.
    "$python" -c 'import sys; print(*(p for p in sys.path if p.endswith("-packages")), sep="\n")' \
      >"$("$folder/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/outer.pth"
  fi
  export PATH="$folder/venv/bin:$PATH"
  if python -c 'import nanobind, scikit_build_core' 2>/dev/null; then options+=(--no-build-isolation); fi
  python -m pip --disable-pip-version-check install --quiet --no-deps --editable . "${options[@]}" -C build-dir="$folder/cmake"
}
