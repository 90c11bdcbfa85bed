#!/usr/bin/env bash
# Measures how late the loader sends, by pacing. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_pacing "$@"
