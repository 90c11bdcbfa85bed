#!/usr/bin/env bash
# Whether the loader's memory stays the same however long it runs. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python memory "$@"
