#!/usr/bin/env bash
# Runs programs of libevent and libevent's own tests on the library, all under a sanitizer. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python sanitize "$@"
