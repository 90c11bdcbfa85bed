#!/usr/bin/env bash
# What each placement makes of connections of unequal rate. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_placement "$@"
