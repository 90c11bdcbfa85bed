#!/usr/bin/env bash
# Compares loadgen with other loaders: its cost, and whether both measure the same. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_loaders "$@"
