#!/usr/bin/env bash
# Compares TLS on buffered events with that of libevent. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_tls "$@"
