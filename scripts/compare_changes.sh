#!/usr/bin/env bash
# What interest that comes and goes within one turn costs, by changelist policy. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_changes "$@"
