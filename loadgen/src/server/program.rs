//! Which program a process runs, which identifies the build behind a result.

use std::fs::File;
use std::io;

use sha2::{Digest as _, Sha256};

/// SHA-256 of the program's file in hexadecimal; nothing where it may not be read.
pub(super) fn sha256(pid: u32) -> Option<String> {
    let file = File::open(format!("/proc/{pid}/exe")).ok()?;
    hash(file).ok()
}

fn hash(mut file: File) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        file.rewind().unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash(file).unwrap(), expected);
    }
}
