#!/usr/bin/env bash
# Measures whether several agents are one loader. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_fleet "$@"
