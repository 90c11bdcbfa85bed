#!/usr/bin/env bash
# Measures evshard against itself with loadgen ab, and reports false alarms and power. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python ab_null "$@"
