#!/usr/bin/env bash
# Shows the raw records of a result. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python raw "$@"
