#!/usr/bin/env bash
# Build the sensor for a PC into a folder: bash build.sh FOLDER [us915|eu868]
#
# For a microcontroller, compile the same files but platform_pc.c, with -ffreestanding -ffunction-sections -fdata-sections and, for the
# linker, --gc-sections. The engine needs memcpy, memmove and memset of the C library.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
engine=$here/../../engine
out=$1
case ${2:-us915} in
  us915) packet=11 qualities=10-25 ;;
  eu868) packet=51 qualities=70-100 ;;
  *) echo "unknown region $2: us915 or eu868" >&2; exit 2 ;;
esac
mnistzip export mnist-fast --c --bare --quality "$qualities" --encoder -o "$out/sender.h" -f
${CC:-cc} -std=c11 -Wall -Wextra -O2 -DPACKET_MAX="$packet" -I"$out" -I"$engine" -I"$engine/micro" -o "$out/sensor" \
  "$here/sensor.c" "$here/platform_pc.c" "$engine/micro/micro.c" "$engine/rans.c" "$engine/tables.c"
