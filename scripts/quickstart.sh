#!/usr/bin/env bash
# Build, serve, drive, report: the whole project in one command. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python quickstart "$@"
