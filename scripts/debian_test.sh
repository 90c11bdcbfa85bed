#!/usr/bin/env bash
# Installs, runs, upgrades and purges the Debian packages in a new Debian system. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python debian_test "$@"
