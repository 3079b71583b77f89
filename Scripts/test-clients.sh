#!/usr/bin/env bash
# The clients that people use, from PyPI, against a running server: every route, streams, errors, TLS, the end.
# usage: Scripts/test-clients.sh [arguments of unittest]     HEARTH=PATH takes another program than the debug build
set -euo pipefail
cd "$(dirname "$0")/.."
source Scripts/requirements.sh
need_toolchain
need_pip

hearth=${HEARTH:-.build/debug/hearth}
[ -n "${HEARTH:-}" ] || swift build --product hearth
python=.build/clients/bin/python
if [ ! -e .build/clients/ready ] || [ Scripts/clients/requirements.txt -nt .build/clients/ready ]; then
  python3 -m venv --clear .build/clients
  $python -m pip install --quiet --requirement Scripts/clients/requirements.txt
  touch .build/clients/ready
fi
# A home of its own: keys and the audit log of this machine are left alone.
home=$PWD/.build/clients-home
HEARTH_HOME=$home $hearth show smollm2 >/dev/null 2>&1 || HEARTH_HOME=$home $hearth pull smollm2
HEARTH_HOME=$home HEARTH=$hearth PYTHONPATH=Scripts/clients $python -m unittest ${@:-discover --start-directory Scripts/clients}
