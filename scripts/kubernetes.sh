#!/usr/bin/env bash
# Checks the files of deploy/kubernetes. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python kubernetes "$@"
