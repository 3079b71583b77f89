#!/usr/bin/env bash
# What a machine can check of CONTRIBUTING.md: formatting, import rules, file sizes, and words that must not be there.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
complain() {
  echo "lint: $*" >&2
  failed=1
}

if ! swift format lint --strict --parallel --recursive Package.swift Sources Tests; then
  complain "formatting differs: make format"
fi

# Arrows point down: what each target may import beside system modules.
system='Foundation|FoundationNetworking|FoundationEssentials|Glibc|Dispatch|Synchronization'
allowed_CKernels='' allowed_Engine='CKernels' allowed_Tokenizers=''
allowed_Chat='Engine|Tokenizers|Crypto|Yams|AsyncHTTPClient|NIOCore|NIOPosix|NIOHTTP1'
allowed_Server='Chat|Engine|Tokenizers|Crypto|CryptoExtras|GRDB|Hummingbird|HummingbirdCore|HummingbirdTLS|HTTPTypes|Logging'
allowed_Server+='|NIOCore|NIOHTTP1|NIOHTTPTypes|NIOPosix|NIOSSL|ServiceLifecycle|UnixSignals'
allowed_hearth='Chat|Engine|Tokenizers|Server|ArgumentParser|CMPI'
for target in Engine Tokenizers Chat Server hearth; do
  variable=allowed_$target
  pattern="^($system${!variable:+|${!variable}})\$"
  while IFS=: read -r file module; do
    [[ $module =~ $pattern ]] || complain "$file imports $module, which $target may not (Docs/architecture.md)"
  done < <(grep -rhoHE '^(@[a-zA-Z_(): ]+ )?(public |internal |package |private |fileprivate )?import [A-Za-z0-9]+' \
    --include='*.swift' "Sources/$target" | sed -E 's/:.*import /:/')
done

# Small files: none over 800 lines, the middle one under 200.
sizes=$(find Sources Tests -name '*.swift' -o -name '*.c' -o -name '*.h' | xargs wc -l | grep -v ' total$' | sort -n)
while read -r lines file; do
  [ "$lines" -le 800 ] || complain "$file has $lines lines; 800 is the most"
done <<<"$sizes"
median=$(awk '{ n[NR] = $1 } END { print n[int((NR + 1) / 2)] }' <<<"$sizes")
[ "$median" -lt 200 ] || complain "the median file has $median lines; below 200 is wanted"

# Bad input never traps, and nothing is left for later.
while read -r hit; do complain "$hit"; done < <(
  grep -rnE '\b(fatalError|TODO|FIXME|XXX)\b|try!|as! ' --include='*.swift' --include='*.[ch]' Sources)

# No weights, and nothing large.
while read -r file; do
  [ "$(wc -c <"$file")" -le 1000000 ] || complain "$file is over 1 MB"
done < <(git ls-files)

[ "$failed" = 0 ] && echo "lint: nothing to complain about"
exit "$failed"
