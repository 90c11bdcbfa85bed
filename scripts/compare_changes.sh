#!/usr/bin/env bash
# Counts epoll_ctl calls if a turn sets and clears an interest, by changelist policy. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_changes "$@"
