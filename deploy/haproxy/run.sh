#!/usr/bin/env bash
# Two instances of evshard behind HAProxy on loopback, until Ctrl-C. Usage: deploy/haproxy/run.sh
set -euo pipefail
cd "$(dirname -- "${BASH_SOURCE[0]}")/../.."

command -v haproxy >/dev/null || {
    echo "haproxy is not installed: apt-get install haproxy" >&2
    exit 1
}
cargo build --release --quiet --bin evshard

# With job control, each process has its own process group. Ctrl-C then reaches only this script,
# and no process gets two signals.
set -m
pids=()
stop() {
    trap - EXIT
    kill -TERM "${pids[@]}" 2>/dev/null || true
    wait
}
trap stop EXIT
trap 'exit 0' INT TERM

serve() { # ADDRESS ADMIN_ADDRESS AGENT_ADDRESS
    target/release/evshard serve --listen "$1" --admin "$2" --agent "$3" \
        --proxy-protocol require --proxy-trust 127.0.0.0/8 \
        --drain-delay 1s --drain-timeout 10s --drain-spread 2s &
    pids+=($!)
}
await() { # PORT
    for _ in {1..50}; do
        (: >"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.1
    done
    echo "no server listens on port $1" >&2
    exit 1
}
serve 127.0.0.1:5551 127.0.0.1:9101 127.0.0.1:9201
serve 127.0.0.1:5552 127.0.0.1:9102 127.0.0.1:9202
await 9101
await 9102
haproxy -db -f deploy/haproxy/haproxy.cfg &
pids+=($!)

cat <<EOF
clients connect to 127.0.0.1:5555, for example
    cargo run --release -p loadgen -- run 127.0.0.1:5555 --duration 30s
to drain an instance, which HAProxy then takes out
    kill -TERM ${pids[0]}
EOF
wait "${pids[2]}"
