#!/usr/bin/env bash
# Runs a command as on a restricted machine: no rights, no io_uring, few descriptors, no IPv6. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python restricted "$@"
