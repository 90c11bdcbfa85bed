#!/usr/bin/env bash
# Measures programs of libevent on evshard's event core beside libevent's. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_drop_in "$@"
