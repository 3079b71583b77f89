#!/usr/bin/env bash
# The figures that a server tells and the alert rules of Deploy/, judged by Prometheus's own tool.
# usage: Scripts/test-metrics.sh     HEARTH=PATH takes another program than the release build
# Takes promtool from the PATH, or out of Debian's package without installing that.
set -euo pipefail
cd "$(dirname "$0")/.."
hearth=${HEARTH:-$PWD/.build/release/hearth}
promtool=$(command -v promtool || true)
if [ -z "$promtool" ]; then
  promtool=$PWD/.build/promtool/usr/bin/promtool
  if [ ! -x "$promtool" ]; then
    mkdir -p .build/promtool
    (cd .build/promtool && apt-get --quiet --quiet --option APT::Sandbox::User=root download prometheus && dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb)
  fi
fi
"$promtool" check rules Deploy/prometheus-alerts.yaml

export HEARTH_HOME=$PWD/.build/promtool/home
rm -rf "$HEARTH_HOME"
python3 Scripts/clients/model.py "$HEARTH_HOME/tiny"
"$hearth" pull "$HEARTH_HOME/tiny" --name tiny --quiet
key=$("$hearth" key create --name 'a "quoted\ name' --scope chat,metrics --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["key"])')
exec 3< <(exec "$hearth" serve tiny --port 0 --json --quiet)
server=$!
trap 'kill $server' EXIT
read -r line <&3
address=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["address"])' "$line")
ask() { curl --silent --output /dev/null --header "Authorization: Bearer $key" --header 'Content-Type: application/json' "$@"; }
for stream in true false; do
  ask "$address/v1/chat/completions" --data '{"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9, "stream": '$stream'}'
done
ask "$address/v1/chat/completions" --data '{"model": "tiny"}'
ask "$address/v1/nothing"
metrics=$(curl --silent --fail --header "Authorization: Bearer $key" "$address/metrics")
"$promtool" check metrics <<<"$metrics"
# What the rules and the dashboard ask for must be there.
missing=0
for name in $(grep -ohE '\bhearth_[a-z_]+' Deploy/prometheus-alerts.yaml Deploy/grafana-dashboard.json | sort -u); do
  grep -qE "^# TYPE ${name%_bucket} |^# TYPE ${name%_sum} |^# TYPE ${name%_count} " <<<"$metrics" || {
    # Counters of what has not happened yet are not told.
    grep -q "\"$name\"" Sources/Server/Watching/Metrics.swift || { echo "Deploy/ asks for $name, which no server has" >&2; missing=1; }
  }
done
exit $missing
