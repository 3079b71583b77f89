#!/usr/bin/env bash
# The whole loop on a real model: build, pull, teach, measure, ask. Needs no terminal and ends by itself; a second run
# keeps what is there and goes on with what is unfinished.
set -euo pipefail
cd "$(dirname "$0")/.."
source Scripts/requirements.sh
started=$SECONDS

say() { printf '\n\033[1m%s\033[0m\n' "$*" | if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then cat; else sed 's/\x1b\[[0-9]*m//g'; fi; }

need_toolchain
need_pip

say "1. Building hearth (some eight minutes the first time)"
swift build -c release --product hearth 2>&1 | tail -3
hearth=.build/release/hearth

say "2. Fetching SmolLM2-135M-Instruct"
$hearth show smollm2 >/dev/null 2>&1 || $hearth pull smollm2
$hearth show smollm2

run=runs/help-desk
say "3. Teaching it the help desk of a pottery that does not exist ($run)"
if [ -e "$run/recipe.yaml" ]; then
  # A finished run ends at once; remove the folder to teach it anew.
  $hearth finetune --output "$run" --name help-desk --resume
else
  $hearth finetune --recipe Examples/help-desk/recipe.yaml --output "$run" --name help-desk
fi

say "4. Sixty questions it was never trained on, before and after"
$hearth evaluate help-desk --against smollm2 --data Examples/help-desk/held-out.jsonl \
  --generate --samples 3 --report "$run/held-out.html"

say "Done in $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s. Next:"
cat <<END
  $hearth chat help-desk                      talk to it
  $hearth finetune --help                     teach it your own conversations
  $run/report.html, $run/held-out.html        the loss curves and the answers, in a browser
END
