#!/usr/bin/env bash
# Compares evshard with libevent and libev in the benchmarks of event bases. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_event_bases "$@"
