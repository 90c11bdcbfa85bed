#!/usr/bin/env bash
# Runs a program with evshard's event core instead of libevent's. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python libevent "$@"
