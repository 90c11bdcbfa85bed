#!/usr/bin/env bash
# Builds the Debian packages evshard and evshard-loadgen. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python debian "$@"
