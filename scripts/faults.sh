#!/usr/bin/env bash
# Breaks things around the server and says what it made of it. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python faults "$@"
