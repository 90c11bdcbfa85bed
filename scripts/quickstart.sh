#!/usr/bin/env bash
# Builds both programs, starts the server, loads it, and prints the reports of both. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python quickstart "$@"
