#!/usr/bin/env bash
# Compares buffered events with those of libevent. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_buffered "$@"
