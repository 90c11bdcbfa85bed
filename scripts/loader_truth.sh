#!/usr/bin/env bash
# Compares what loadgen reports with what theory says, on real sockets. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python loader_truth "$@"
