#!/usr/bin/env bash
# Checks that Debian's programs find all of libevent's event core in evshard's library. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python libevent_links "$@"
