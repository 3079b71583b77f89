#!/usr/bin/env bash
# Builds and runs every test. Arguments go to `swift test`, for example: Scripts/test.sh --filter Golden
set -euo pipefail
cd "$(dirname "$0")/.."
source Scripts/requirements.sh
need_toolchain
exec swift test --disable-xctest "$@"
