#!/usr/bin/env bash
# Compares the example resp_store with Redis. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_redis "$@"
