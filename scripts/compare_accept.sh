#!/usr/bin/env bash
# What accepting costs in each mode, against memcached's way, under a connect storm. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_accept "$@"
