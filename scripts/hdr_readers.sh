#!/usr/bin/env bash
# Checks that other HdrHistogram libraries read the files of loadgen. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python hdr_readers "$@"
