#!/usr/bin/env bash
# What the server costs above a bare epoll loop in C. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_floor "$@"
