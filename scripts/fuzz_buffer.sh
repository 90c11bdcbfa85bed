#!/usr/bin/env bash
# Compares random operations on evshard's Buffer and on libevent's evbuffer. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python fuzz_buffer "$@"
