#!/usr/bin/env bash
# The famous benchmarks of event bases: evshard beside libevent and libev. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_event_bases "$@"
