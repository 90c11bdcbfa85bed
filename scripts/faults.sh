#!/usr/bin/env bash
# Causes faults around the server and checks what must hold. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python faults "$@"
