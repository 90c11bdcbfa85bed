#!/usr/bin/env bash
# Makes the book of docs/SUMMARY.md, and checks the links of its pages. See --help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/run.sh"
run_python book "$@"
