#!/usr/bin/env bash
# Builds static programs, which run on any Linux. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python static "$@"
