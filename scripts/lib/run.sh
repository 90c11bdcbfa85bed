# shellcheck shell=bash
# The scripts in the folder above source this file. Each of them starts one Python program of this folder.

# run_python NAME ARGUMENT...: replaces this shell by the program NAME.py. The program starts in the caller's working
# directory, so relative paths among the arguments work. It parses the arguments, and then changes to the repository root.
# With -B, Python writes no byte code into the source tree.
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
