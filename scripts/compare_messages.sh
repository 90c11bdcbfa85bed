#!/usr/bin/env bash
# Compares messages between shards with a list under a mutex and an eventfd. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_messages "$@"
