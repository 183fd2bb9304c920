#!/usr/bin/env bash
# Check that bytes and pixels are the same on another architecture, with a user space of Debian that qemu runs; see sameness.py.
#
#   apt-get install qemu-user-static debootstrap
#   bash tools/aarch64.sh [folder]                     # aarch64, about 10 minutes
#   ARCH=s390x QEMU=s390x bash tools/aarch64.sh        # big-endian
#
# Nothing is installed here: Debian's packages are unpacked into a folder, and Python is started by qemu with that folder as its root.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=${ARCH:-arm64}
qemu=${QEMU:-aarch64}
root=${1:-$(mktemp -d)/debian-$arch}
if [ ! -e "$root/usr/bin/python3" ]; then
  debootstrap --foreign --arch="$arch" --variant=minbase --include=python3,python3-numpy,python3-pil,python3-click,python3-rich \
    "${SUITE:-trixie}" "$root" "${MIRROR:-http://deb.debian.org/debian}"
  for package in "$root"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
fi
libraries=$(basename "$(ls -d "$root"/usr/lib/*-linux-gnu)") # Debian's scripts would make links to the selected BLAS
package=$(mktemp -d)
trap 'rm -rf "$package"' EXIT
python3 -m pip install --quiet --no-deps --target "$package" .
PYTHONPATH=$package "qemu-$qemu-static" -L "$root" -E LD_LIBRARY_PATH="/usr/lib/$libraries/blas:/usr/lib/$libraries/lapack" \
  "$root/usr/bin/python3" tools/sameness.py
