#!/usr/bin/env bash
# Runs unchanged programs of Debian with libevent's event core and with evshard's, and compares them. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python libevent_programs "$@"
