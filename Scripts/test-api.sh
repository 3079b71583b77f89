#!/usr/bin/env bash
# Requests made up from Docs/openapi.json, right and wrong ones, against a running server: no 5xx, no status that is not documented.
# usage: Scripts/test-api.sh [arguments of schemathesis]     HEARTH=PATH takes another program than the release build
set -euo pipefail
cd "$(dirname "$0")/.."
source Scripts/requirements.sh
need_venv
hearth=${HEARTH:-$PWD/.build/release/hearth}
if [ ! -e .build/schemathesis/ready ]; then
  python3 -m venv --clear .build/schemathesis
  .build/schemathesis/bin/python -m pip install --quiet schemathesis==4.32.5
  touch .build/schemathesis/ready
fi
export HEARTH_HOME=$PWD/.build/schemathesis/home
rm -rf "$HEARTH_HOME"
python3 Scripts/clients/model.py "$HEARTH_HOME/tiny"
"$hearth" pull "$HEARTH_HOME/tiny" --name tiny --quiet
"$hearth" serve tiny --port 4329 --no-keys --store-conversations --quiet &
server=$!
trap 'kill $server' EXIT
for _ in $(seq 100); do
  ! curl --silent --fail --output /dev/null http://127.0.0.1:4329/ready || break
  sleep 0.1
done
# Unloading the only model would leave nothing to ask.
.build/schemathesis/bin/schemathesis run Docs/openapi.json --url http://127.0.0.1:4329 \
  --checks not_a_server_error,status_code_conformance --exclude-path /models/unload --exclude-path /ready \
  --max-examples 15 --seed 1 --request-timeout 60 "$@"
