# shellcheck shell=bash
# Sourced by the scripts in the folder above, each of which is one Python program beside this file.

# run_python NAME ARGUMENT...: become the program NAME.py. The working directory stays the caller's, so that relative
# paths among the arguments mean what the caller meant; the program changes to the repository root once it has read
# them. -B: no byte code in the source tree.
run_python() {
    local lib name="$1"
    shift
    lib="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
    if ! command -v python3 >/dev/null; then
        echo "error: python3 is missing: install the Debian package python3" >&2
        exit 1
    fi
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        echo "error: Python 3.10 or newer is needed, and this is $(python3 --version)" >&2
        exit 1
    fi
    exec python3 -B "$lib/$name.py" "$@"
}
