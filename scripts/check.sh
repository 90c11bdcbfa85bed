#!/usr/bin/env bash
# Runs all checks besides the tests. Usage: scripts/check.sh
set -euo pipefail
cd "$(dirname -- "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s (after %d s)\n' "$1" "$SECONDS"; }

step "format"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets -- --deny warnings

step "documentation"
RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items

step "tidy: layers, sizes, words, unsafe code, results"
cargo test --test tidy

step "loom: the cross-thread protocols, and mutations of them that must fail"
# It has its own target folder. Otherwise cargo would rebuild everything at each change of --cfg loom.
# Without optimisation at link time it builds faster, and the models run as fast.
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom CARGO_PROFILE_RELEASE_LTO=off \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo test --release --package evshard --lib --bins loom_

step "the event base without the server: lints, tests, dependencies"
cargo clippy --package evshard --no-default-features --all-targets -- --deny warnings
cargo test --package evshard --no-default-features
diff --unified - <(cargo tree --package evshard --no-default-features --edges normal --depth 1 --prefix none \
    --format '{p}' | tail -n +2 | cut -d ' ' -f 1 | sort) <<'END'
bitflags
io-uring
libc
parking_lot
thiserror
END

step "the event base with buffered events and no server, without TLS and with it: lints"
for features in bufferevent tls; do
    cargo clippy --package evshard --no-default-features --features "$features" --all-targets -- --deny warnings
done

step "fuzz targets: they build"
# Only they need libFuzzer. All other checks must also work without a network.
cp fuzz/Cargo.lock target/fuzz.lock
if cargo fetch --manifest-path fuzz/Cargo.toml; then
    if ! cmp --quiet fuzz/Cargo.lock target/fuzz.lock; then
        echo "fuzz/Cargo.lock was not up to date; commit the one that cargo has written now" >&2
        exit 1
    fi
    RUSTFLAGS="--cfg fuzzing" CARGO_TARGET_DIR=target/fuzz \
        cargo clippy --manifest-path fuzz/Cargo.toml -- --deny warnings
else
    echo "skipped: cargo cannot fetch libfuzzer-sys"
fi

step "an event base inside the loops of tokio and GLib"
# A project of its own; only it needs a runtime, and a system library. The other checks need no network.
if cargo fetch --locked --manifest-path tests/embedding/Cargo.toml; then
    embedding=(--locked --quiet --manifest-path tests/embedding/Cargo.toml --target-dir target/embedding)
    cargo run "${embedding[@]}" --bin tokio
    if pkg-config --exists glib-2.0; then
        cargo clippy "${embedding[@]}" --features glib --all-targets -- --deny warnings
        cargo run "${embedding[@]}" --features glib --bin glib
    else
        echo "skipped: GLib is not installed (libglib2.0-dev)"
    fi
else
    echo "skipped: cargo cannot fetch tokio and glib"
fi

step "packages: they build, and contain no tests, scripts or results"
cargo package --quiet --allow-dirty --package evshard --package loadgen
for package in evshard loadgen; do
    cargo package --allow-dirty --package "$package" --list >target/packaged.txt
    if grep --extended-regexp '^(benches|deploy|results|scripts|tests)/' target/packaged.txt; then
        echo "the package $package must not contain these files: see 'include' in its Cargo.toml" >&2
        exit 1
    fi
done

step "dependencies: licences, sources, bans"
if command -v cargo-deny >/dev/null; then
    cargo deny check bans licenses sources
else
    echo "skipped: cargo-deny is not installed (cargo install cargo-deny)"
fi

step "scripts"
python3 -B -m unittest discover --start-directory scripts/lib
if command -v shellcheck >/dev/null; then
    shellcheck --external-sources scripts/*.sh scripts/lib/run.sh deploy/haproxy/run.sh .ci/run
else
    echo "skipped: shellcheck is not installed"
fi

step "the book: its links"
./scripts/book.sh

step "Kubernetes: schemas, and what the files say of each other"
if python3 -c 'import kubernetes_validate' 2>/dev/null; then
    ./scripts/kubernetes.sh
else
    echo "skipped: the Python package kubernetes-validate is not installed"
fi

step "smoke: libevent's own tests on the library for programs of libevent"
# All other checks must also work without a network.
if dpkg-query --show dpkg-dev libssl-dev zlib1g-dev >/dev/null 2>&1 && ./scripts/libevent_suite.sh --fetch; then
    ./scripts/libevent_suite.sh --quick
    ./scripts/compare_drop_in.sh --quick --only cascade,instructions
else
    echo "skipped: dpkg-dev, libssl-dev or zlib1g-dev is missing, or libevent's source cannot be fetched"
fi

step "smoke: buffers against libevent's"
./scripts/fuzz_buffer.sh --quick

step "smoke: the server under load"
./scripts/quickstart.sh

step "smoke: the comparisons"
./scripts/compare_threads.sh --quick
./scripts/compare_floor.sh --quick
./scripts/compare_buffered.sh --quick
./scripts/compare_broadcast.sh --quick
./scripts/compare_tls.sh --quick
./scripts/compare_changes.sh --quick
./scripts/compare_event_bases.sh --quick
./scripts/compare_accept.sh --quick
./scripts/compare_placement.sh --quick
./scripts/compare_overhead.sh --quick
./scripts/compare_messages.sh --quick
if command -v redis-benchmark >/dev/null; then
    ./scripts/compare_redis.sh --quick
else
    echo "skipped: compare_redis.sh, because redis-benchmark is not installed"
fi
if command -v haproxy >/dev/null; then
    ./scripts/compare_proxy.sh --quick
else
    echo "skipped: compare_proxy.sh, because haproxy is not installed"
fi

step "smoke: the scripts about the loader"
./scripts/compare_loaders.sh --quick
# Only this comparison needs tokio. All other checks must also work without a network.
if cargo fetch --locked --manifest-path benches/peers/tokio_timer/Cargo.toml; then
    ./scripts/compare_pacing.sh --quick
else
    echo "skipped: compare_pacing.sh, because cargo cannot fetch tokio"
fi
./scripts/compare_fleet.sh --quick
./scripts/stall.sh --quick
./scripts/memory.sh --quick
./scripts/loader_truth.sh --quick
./scripts/ab_null.sh --quick

step "smoke: faults"
./scripts/faults.sh --quick

step "smoke: the micro-benchmarks"
cargo test --package evshard --bench micro

printf '\nall checks passed\n'
