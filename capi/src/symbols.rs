//! The names of the program's functions.
//!
//! The loader knows exported functions only. Others are in the symbol table of the file, or in that
//! of its separate debug information, unless they were stripped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use object::elf::FileHeader64;
use object::read::elf::ElfFile;
use object::{Endianness, Object, ObjectKind, ObjectSymbol, ReadCache};

use crate::abi::access::loaded;

/// Where distributions install separate debug information.
const DEBUG_FOLDER: &str = "/usr/lib/debug/.build-id";

type Elf<'a> = ElfFile<'a, FileHeader64<Endianness>, &'a ReadCache<File>>;

/// The name of the function at an address, or the file and the offset in it. It reads files.
pub(crate) fn name(address: u64) -> String {
    if address == 0 {
        return "other functions".to_owned();
    }
    let Some(loaded) = loaded::at(address) else { return format!("{address:#x}") };
    if let Some(name) = loaded.exported {
        return name;
    }
    // The loader has the program itself by what it was called by, which need not be its path.
    let path = match loaded.path.is_absolute() {
        true => loaded.path,
        false => fs::read_link("/proc/self/exe").unwrap_or(loaded.path),
    };
    let offset = address - loaded.start;
    in_file(&path, address, offset).unwrap_or_else(|| {
        let file = path.file_name().unwrap_or(path.as_os_str());
        format!("{}+{offset:#x}", file.to_string_lossy())
    })
}

/// The function in the file's symbol table, or in that of its debug information.
fn in_file(path: &Path, address: u64, offset: u64) -> Option<String> {
    let cache = ReadCache::new(File::open(path).ok()?);
    let file = Elf::parse(&cache).ok()?;
    // A program at a fixed address has addresses in its table, all others have offsets.
    let value = if file.kind() == ObjectKind::Executable { address } else { offset };
    if let Some(name) = in_table(&file, value) {
        return Some(name);
    }
    let cache = ReadCache::new(File::open(debug_path(file.build_id().ok()??)?).ok()?);
    in_table(&Elf::parse(&cache).ok()?, value)
}

fn in_table(file: &Elf<'_>, value: u64) -> Option<String> {
    let covers = |symbol: &&object::read::elf::ElfSymbol<'_, '_, _, _>| {
        symbol.is_definition()
            && (symbol.address()..symbol.address() + symbol.size()).contains(&value)
    };
    let symbols: Vec<_> = file.symbols().collect();
    symbols.iter().find(covers).and_then(|symbol| symbol.name().ok()).map(str::to_owned)
}

/// `/usr/lib/debug/.build-id/ab/cdef….debug`.
fn debug_path(build_id: &[u8]) -> Option<PathBuf> {
    let (first, others) = build_id.split_first()?;
    let others: String = others.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{DEBUG_FOLDER}/{first:02x}/{others}.debug").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_its_name_and_an_address_without_one_its_file() {
        extern "C" fn a_function_of_the_test() {}
        let address = a_function_of_the_test as extern "C" fn() as usize as u64;
        let name_of_it = name(address);
        assert!(name_of_it.contains("a_function_of_the_test"), "{name_of_it}");
        assert_eq!(name(8), "0x8", "no file has it");
    }

    #[test]
    fn debug_information_is_found_by_its_build_id() {
        let path = debug_path(&[0xab, 0x0c, 0xde]).expect("an id");
        assert_eq!(path, Path::new("/usr/lib/debug/.build-id/ab/0cde.debug"));
        assert_eq!(debug_path(&[]), None);
    }
}
