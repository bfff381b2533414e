#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the package for another CPU and runs it there, emulated by qemu: what is given, or the golden files.
#
#   native/emulate.sh aarch64                                  64-bit ARM: reads and writes the golden files
#   native/emulate.sh s390x                                    IBM Z, big-endian
#   native/emulate.sh aarch64 tests/reference_decoder.py tests/golden/local_photo.bb
#
# Debian, with these packages (nothing else of the system is changed, and root is not needed):
#   cmake ninja-build qemu-user-static g++-aarch64-linux-gnu g++-s390x-linux-gnu
# Python comes as Debian packages of the other CPU, unpacked below build/emulate; NumPy and Pillow as wheels, or where there are
# none for that CPU, as Debian packages too, which are older than what pyproject.toml asks for.
#
# Exit code 77: something that is needed is not to be had here.
#
#   PYTHON=.venv/bin/python   an interpreter that has pip
#   EMULATE_DIR=...           where everything goes (default: build/emulate)
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cpu=${1:?which CPU? aarch64 or s390x}
shift
case $cpu in
  aarch64) debian=arm64 ;;
  s390x) debian=s390x ;;
  *) echo "no CPU $cpu: there are aarch64, s390x" >&2; exit 2 ;;
esac
python=${PYTHON:-$([ -x "$root/.venv/bin/python" ] && echo "$root/.venv/bin/python" || command -v python3)}
folder=${EMULATE_DIR:-$root/build/emulate}/$cpu
system=$folder/system site=$folder/site
missing() {
  echo "native/emulate.sh: $1" >&2
  exit 77
}
emulator=$(command -v "qemu-$cpu-static" || command -v "qemu-$cpu") || missing "no qemu-$cpu"
compiler=$(command -v "$cpu-linux-gnu-g++") || missing "no $cpu-linux-gnu-g++"
command -v apt-get >/dev/null || missing 'no apt-get: Debian packages are needed'
pip=("$python" -m pip --disable-pip-version-check)

# An apt of its own: another architecture, no package installed, so that all that Python needs is fetched.
apt() {
  apt-get -qq -o "Dir::State=$folder/apt/state" -o "Dir::State::status=$folder/apt/status" -o "Dir::Cache=$folder/apt/cache" \
    -o "Dir::Log=$folder/apt" -o "APT::Architecture=$debian" -o "APT::Architectures::=$debian" -o Debug::NoLocking=1 \
    -o "APT::Sandbox::User=$(id -un)" -o APT::Install-Recommends=0 "$@"
}

if [ ! -f "$folder/.system" ]; then
  rm -rf "$system" "$site"
  mkdir -p "$folder/apt/state/lists/partial" "$folder/apt/cache/archives/partial" "$system" "$site"
  : >"$folder/apt/status"
  apt update || missing "no packages for $debian"
  unpack() {
    rm -f "$folder"/apt/cache/archives/*.deb
    apt install --yes --download-only "$@" >/dev/null || missing "some of these packages cannot be had: $*"
    for package in "$folder"/apt/cache/archives/*.deb; do dpkg-deb --extract "$package" "$system"; done
  }
  unpack python3 libpython3-dev libstdc++6
  version=$(basename "$(readlink "$system/usr/bin/python3")")
  wheels=("${pip[@]}" install --quiet --only-binary :all: --python-version "${version#python}" --target "$site")
  for glibc in 28 27 17; do wheels+=(--platform "manylinux_2_${glibc}_$cpu"); done
  "${wheels[@]}" numpy pillow 2>"$folder/pip.log" || unpack python3-numpy python3-pil
  touch "$folder/.system"
fi
version=$(basename "$(readlink "$system/usr/bin/python3")")

# The headers of Python know those of their CPU by a path below /usr/include; all others are the compiler's.
cat >"$folder/toolchain.cmake" <<CMAKE
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR $cpu)
set(CMAKE_CXX_COMPILER $compiler)
set(CMAKE_CXX_FLAGS_INIT "-idirafter $system/usr/include")
CMAKE
isolation=()
if "$python" -c 'import nanobind, scikit_build_core' 2>/dev/null; then isolation=(--no-build-isolation); fi
rm -rf "$folder/wheel" "$site/bbcodec"
"${pip[@]}" wheel --quiet "${isolation[@]}" --no-deps --wheel-dir "$folder/wheel" "$root" -C build-dir="$folder/cmake" \
  -C cmake.define.CMAKE_TOOLCHAIN_FILE="$folder/toolchain.cmake" -C cmake.define.Python_INCLUDE_DIR="$system/usr/include/$version"
"$python" -m zipfile -e "$folder"/wheel/bbcodec-*.whl "$site"
mv "$site"/bbcodec/_native.*.so "$site/bbcodec/_native.so"  # its name tells of the machine that it was built on

libraries=$system/usr/lib/$cpu-linux-gnu
if [ $# = 0 ]; then set -- "$root/tests/golden/check.py" --native; fi
exec "$emulator" -L "$system" -E LD_LIBRARY_PATH="$libraries/blas:$libraries/lapack" -E PYTHONPATH="$site" \
  -E PYTHONDONTWRITEBYTECODE=1 "$system/usr/bin/$version" "$@"
