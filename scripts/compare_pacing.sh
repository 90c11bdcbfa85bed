#!/usr/bin/env bash
# How late the loader sends, by its way of waiting. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_pacing "$@"
