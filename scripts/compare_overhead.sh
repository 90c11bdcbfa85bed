#!/usr/bin/env bash
# Measures what the server's timings and deadlines cost. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_overhead "$@"
