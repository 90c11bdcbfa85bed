#!/usr/bin/env bash
# Compares the loader with other loaders: its cost, and whether they agree. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_loaders "$@"
