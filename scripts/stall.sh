#!/usr/bin/env bash
# Stops a server for a second and compares the loader's percentiles with theory. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python stall "$@"
