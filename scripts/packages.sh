#!/usr/bin/env bash
# Packages both crates, and installs them from a clean checkout. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python packages "$@"
