#!/usr/bin/env bash
# Compares the server with a bare epoll loop in C. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_floor "$@"
