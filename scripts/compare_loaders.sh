#!/usr/bin/env bash
# What the loader costs beside other loaders, and whether it sees what they see. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python compare_loaders "$@"
