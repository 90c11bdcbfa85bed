#!/usr/bin/env bash
# What measuring itself and deadlines cost the server. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_overhead "$@"
