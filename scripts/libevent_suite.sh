#!/usr/bin/env bash
# Runs libevent's own tests with the distribution's event core and with evshard's. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python libevent_suite "$@"
