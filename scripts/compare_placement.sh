#!/usr/bin/env bash
# Compares the placements with hot and cold connections, and with equal ones. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_placement "$@"
