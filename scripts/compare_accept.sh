#!/usr/bin/env bash
# Measures what it costs to accept a connection, in each mode and in the way of memcached. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_accept "$@"
