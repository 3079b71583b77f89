#!/usr/bin/env bash
# The C kernels on AArch64 (Docs/arm.md): compiles them with their checks (Tests/C/kernels) by Swift's clang, runs them here and
# on emulated processors with each of the instruction sets, and compares what they computed, to the bit.
#
#     Scripts/arm.sh            every check
#     Scripts/arm.sh quick      leaves out what is large
#     Scripts/arm.sh update     every check; writes Tests/C/kernels/digests.txt from what this machine computed
set -euo pipefail
cd "$(dirname "$0")/.."
source Scripts/requirements.sh
need_toolchain

mode=${1:-full}
build=.build/arm
digests=Tests/C/kernels/digests.txt
flags=(-std=c17 -O3 -Wall -Wextra -Wno-psabi -ffp-contract=off -fno-math-errno)
sysroot=/usr/aarch64-linux-gnu
arguments=(Tests/Fixtures/formats)
[ "$mode" = quick ] && arguments+=(quick)

# compile FOLDER FLAG... : kernels and checks into FOLDER/kernels, unless it is newer than all of its sources.
compile() {
  local folder=$1
  shift
  if [ -e "$folder/kernels" ] && [ -z "$(find Sources/CKernels Tests/C/kernels Scripts/arm.sh -newer "$folder/kernels" -print -quit)" ]; then
    return
  fi
  echo "compiling for $(basename "$folder")" >&2
  rm -rf "$folder" && mkdir -p "$folder"
  local file
  for file in $(find Sources/CKernels Tests/C/kernels -name '*.c'); do
    printf '%s\0%s\0' "$file" "$folder/${file//\//_}.o"
  done | xargs -0 -n 2 -P "$(nproc)" bash -c 'clang "${@:1:$#-2}" -c "${@: -2:1}" -o "${@: -1}"' clang "${flags[@]}" "$@"
  clang "${flags[@]}" "$@" "$folder"/*.o -fuse-ld=lld -lpthread -lm -o "$folder/kernels"
}

# check NAME EXPECTED COMMAND... : runs the checks as COMMAND does; digests must be those of this machine, where it ran before.
check() {
  local name=$1 expected=$2
  shift 2
  local out="$build/$name.$mode.txt"
  printf '%-28s' "$name" >&2
  "$@" "${arguments[@]}" >"$out" 2>"$out.errors" || { cat "$out.errors" >&2; exit 1; }
  cat "$out.errors" >&2
  if [ -n "$expected" ] && ! grep -q "^$expected:" "$out.errors"; then
    echo "$name should have offered $expected as the best instruction set." >&2
    exit 1
  fi
  if [ "$out" != "$build/here.$mode.txt" ] && ! diff "$build/here.$mode.txt" "$out" >&2; then
    echo "$name computed something else than this machine did." >&2
    exit 1
  fi
}

compile "$build/here"
check here "" "$build/here/kernels"
# The kernels for AVX-VNNI, with the instruction's definition in its place: processors that have it are not at hand.
if [ "$(uname -m)" = x86_64 ]; then
  compile "$build/avxvnni" -DHEARTH_EMULATED_AVXVNNI
  HEARTH_ISA=avxvnni check "AVX-VNNI in AVX2's terms" "" "$build/avxvnni/kernels"
fi
case $mode in
  update) cp "$build/here.update.txt" "$digests" ;;
  full)
    if ! diff "$digests" "$build/here.full.txt" >&2; then
      echo "What the kernels compute has changed from $digests. If that was meant: Scripts/arm.sh update" >&2
      exit 1
    fi
    ;;
esac

# On AArch64 there is nothing to emulate: the digests in the repository are those of an x86 processor.
if [ "$(uname -m)" = aarch64 ] || [ "$(uname -m)" = arm64 ]; then exit 0; fi

if ! command -v qemu-aarch64 >/dev/null || [ ! -e $sysroot/lib/libc.a ] || ! command -v aarch64-linux-gnu-gcc >/dev/null; then
  need_packages "AArch64's C library or emulator is missing" gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
fi
compile "$build/aarch64" --target=aarch64-linux-gnu -static
check "emulated Cortex-A53" neon qemu-aarch64 -cpu cortex-a53 "$build/aarch64/kernels"
check "emulated Neoverse N1" dotprod qemu-aarch64 -cpu neoverse-n1 "$build/aarch64/kernels"
check "emulated, all features" i8mm qemu-aarch64 -cpu max "$build/aarch64/kernels"
echo "AArch64 computes what this machine does: $(wc -l <"$build/here.$mode.txt") results, each on every instruction set" >&2
