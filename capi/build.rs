//! Gives the library a name. The names that programs load are those of small libraries that need
//! it; `scripts/lib/libevent_names.sh` links them.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libevshard_libevent.so");
    // A thread of the library may run, and a function of it is called when the process ends.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
