#!/usr/bin/env bash
# Runs the tests of capi's exported functions under Miri, which checks each access to memory.
# Usage: scripts/miri.sh [TEST]. It needs a nightly toolchain with Miri:
# rustup component add miri --toolchain nightly
set -euo pipefail
cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "error: Miri is missing: rustup component add miri --toolchain nightly" >&2
    exit 1
fi
# The tests read the clock and the environment. An event's address is its token, an integer.
export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-permissive-provenance ${MIRIFLAGS:-}"
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri" cargo +nightly miri test --package evshard-libevent --lib \
    "abi::tests::${1:-}"
