#!/usr/bin/env bash
# Makes the pictures of the documentation from a real run. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python screenshots "$@"
