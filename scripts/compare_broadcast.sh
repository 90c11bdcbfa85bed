#!/usr/bin/env bash
# Compares a broadcast by the example broker with a bare loop of send(2). See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_broadcast "$@"
