#!/usr/bin/env bash
# Checks that the loader's memory does not grow over a long run. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python memory "$@"
