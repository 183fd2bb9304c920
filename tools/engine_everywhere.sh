#!/usr/bin/env bash
# Compare the library in C with numpy: by several compilers, with sanitizers, and on other processors that qemu runs.
#
#   apt-get install clang musl-tools qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-s390x-linux-gnu libc6-dev-s390x-cross \
#     gcc-arm-linux-gnueabihf libc6-dev-armhf-cross
#   bash tools/engine_everywhere.sh [NAME...]          # names: gcc sanitizers guarded clang musl aarch64 arm32 s390x
#
# tools/engine_cases.py writes the cases, and engine/tests/cases.c runs them with all instructions that a processor has. It also
# loads damaged models, which must not crash. In guarded runs, each array that the library gets ends where a page begins that nothing may
# read or write ("ends"), or begins behind one ("starts").
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
flags=(-std=c11 -Wall -Wextra -Wpedantic -Werror -ffp-contract=off -Iengine engine/tests/*.c engine/[a-z]*.c)
failed=0

# run NAME CASES "CHANGES [PLACE]" COMPILE... [-- PREFIX...]
run() {
  local name=$1 cases=$2 compile=() prefix=() changes
  read -ra changes <<< "$3"
  shift 3
  while [ $# -gt 0 ] && [ "$1" != -- ]; do compile+=("$1"); shift; done
  [ $# -gt 0 ] && shift && prefix=("$@")
  if ! command -v "${compile[0]}" > /dev/null || { [ ${#prefix[@]} -gt 0 ] && ! command -v "${prefix[0]}" > /dev/null; }; then
    printf '%-11s not installed\n' "$name"
    failed=1
  elif { [ -e "$folder/$cases" ] || python tools/engine_cases.py "$folder/$cases" ${options[$cases]} > /dev/null; } &&
    "${compile[@]}" "${flags[@]}" -o "$folder/$name" && result=$("${prefix[@]}" "$folder/$name" "$folder/$cases" "${changes[@]}"); then
    printf '%-11s %s\n' "$name" "$result"
  else
    printf '%-11s FAILED %s\n' "$name" "${result:-}"
    failed=1
  fi
}

for name in "${@:-all}"; do
  case $name in all) set -- gcc sanitizers guarded clang musl aarch64 arm32 s390x ;; esac
done
few=(--model own --model own-wide --model mnist-fast --model plain-grey --model plain-grey-wide --model random-grey
  --model random-bitmap --model random-bitmap-wide)
declare -A options=([all]="" [some]="--tiles 3 ${few[*]}" [big]="--tiles 3 ${few[*]} --byteorder big")
for name in "$@"; do
  case $name in
    gcc) run gcc all 1000 gcc -O3 ;;
    clang) run clang all 200 clang -O3 ;;
    sanitizers) run sanitizers all 300 gcc -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all ;;
    guarded)
      run ends all "300 end" gcc -O3
      run starts all "300 start" gcc -O3 ;;
    musl) run musl some 200 musl-gcc -O3 -static ;;
    aarch64) run aarch64 some 50 aarch64-linux-gnu-gcc -O3 -static -- qemu-aarch64 ;;
    arm32) run arm32 some 50 arm-linux-gnueabihf-gcc -O3 -static -- qemu-arm ;;
    s390x) run s390x big 50 s390x-linux-gnu-gcc -O3 -static -- qemu-s390x ;;
    *) echo "unknown name $name" >&2; exit 2 ;;
  esac
done
exit $failed
