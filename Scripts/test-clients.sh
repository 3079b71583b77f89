#!/usr/bin/env bash
# The clients that people use, from PyPI, against a running server: every route, streams, errors, TLS, the end.
# usage: Scripts/test-clients.sh [arguments of unittest]
#   HEARTH=PATH    another program than the debug build, which `make test` makes too
#   MODEL=smollm2  a real model, fetched when it is not there, instead of a small one that is made on the spot
set -euo pipefail
cd "$(dirname "$0")/.."
source Scripts/requirements.sh
need_toolchain
need_venv

hearth=${HEARTH:-.build/debug/hearth}
[ -n "${HEARTH:-}" ] || swift build --disable-xctest --product hearth
python=.build/clients/bin/python
if [ ! -e .build/clients/ready ] || [ Scripts/clients/requirements.txt -nt .build/clients/ready ]; then
  python3 -m venv --clear .build/clients
  $python -m pip install --quiet --requirement Scripts/clients/requirements.txt
  touch .build/clients/ready
fi
# A home of its own, made anew: keys, jobs and the audit log of this machine are left alone, and nothing of an earlier run counts.
home=$PWD/.build/clients-home
model=${MODEL:-tiny}
if [ "$model" = tiny ]; then
  rm -rf "$home"
  $python Scripts/clients/model.py "$home/tiny"
  HEARTH_HOME=$home $hearth pull "$home/tiny" --name tiny --quiet
else
  HEARTH_HOME=$home $hearth show "$model" >/dev/null 2>&1 || HEARTH_HOME=$home $hearth pull "$model"
fi
export HEARTH_HOME=$home HEARTH=$hearth MODEL=$model PYTHONPATH=Scripts/clients
[ $# = 0 ] || exec $python -m unittest "$@"
$python -m unittest discover --start-directory Scripts/clients
[ "$model" != tiny ] || $python Scripts/clients/coverage.py
