//! The names of the program's functions.
//!
//! They are in the symbol tables of the file, or of its separate debug information. The loader
//! would know only exported names, and what dladdr(3) returns is gone when another thread unloads
//! the library.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use object::elf::FileHeader64;
use object::read::elf::ElfFile;
use object::{Endianness, Object, ObjectSegment, ObjectSymbol, ReadCache};

/// Where distributions install separate debug information.
const DEBUG_FOLDER: &str = "/usr/lib/debug/.build-id";

type Elf<'a> = ElfFile<'a, FileHeader64<Endianness>, &'a ReadCache<File>>;

/// A place in a file that the process has mapped.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    offset: u64,
}

/// The name of the function at an address, or the file and the address in it. It reads files.
pub(crate) fn name(address: u64) -> String {
    if address == 0 {
        return "other functions".to_owned();
    }
    let maps = fs::read("/proc/self/maps").unwrap_or_default();
    let Some(place) = place_of(&maps, address) else { return format!("{address:#x}") };
    in_file(&place).unwrap_or_else(|| at(&place, place.offset))
}

/// The place with this address, from the text of proc_pid_maps(5).
fn place_of(maps: &[u8], address: u64) -> Option<Place> {
    maps.split(|byte| *byte == b'\n').find_map(|line| {
        // The range, permissions, offset, device and inode, and the path after more spaces.
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let mut text = || str::from_utf8(fields.next()?).ok();
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let (begin, end) = text()?.split_once('-')?;
        let (begin, end) = (hex(begin)?, hex(end)?);
        let (_, offset, _, _) = (text()?, hex(text()?)?, text()?, text()?);
        let path = fields.next()?.trim_ascii_start();
        let is_there = (begin..end).contains(&address) && path.starts_with(b"/");
        let path = PathBuf::from(OsStr::from_bytes(path));
        is_there.then(|| Place { path, offset: address - begin + offset })
    })
}

/// The function at a place of an ELF file, or the file and the address as its tables count it.
fn in_file(place: &Place) -> Option<String> {
    let cache = ReadCache::new(File::open(&place.path).ok()?);
    let file = Elf::parse(&cache).ok()?;
    let address = file.segments().find_map(|segment| {
        let (begin, size) = segment.file_range();
        let is_there = (begin..begin + size).contains(&place.offset);
        is_there.then(|| segment.address() + place.offset - begin)
    })?;
    let name = in_tables(&file, address).or_else(|| {
        let cache = ReadCache::new(File::open(debug_path(file.build_id().ok()??)?).ok()?);
        in_tables(&Elf::parse(&cache).ok()?, address)
    });
    Some(name.unwrap_or_else(|| at(place, address)))
}

fn in_tables(file: &Elf<'_>, address: u64) -> Option<String> {
    let mut symbols = file.symbols().chain(file.dynamic_symbols());
    let covers = |symbol: &object::read::elf::ElfSymbol<'_, '_, _, _>| {
        symbol.is_definition()
            && (symbol.address()..symbol.address() + symbol.size()).contains(&address)
    };
    symbols.find(covers).and_then(|symbol| symbol.name().ok().map(str::to_owned))
}

/// `memcached+0xe0c0`.
fn at(place: &Place, address: u64) -> String {
    let file = place.path.file_name().unwrap_or(place.path.as_os_str());
    format!("{}+{address:#x}", file.to_string_lossy())
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
    fn a_function_has_its_name_also_if_it_is_not_exported() {
        extern "C" fn a_function_of_the_test() {}
        let address = a_function_of_the_test as extern "C" fn() as usize as u64;
        let name_of_it = name(address);
        assert!(name_of_it.contains("a_function_of_the_test"), "{name_of_it}");
        let exported = name((libc::getpid as *const ()).addr() as u64);
        assert!(exported.ends_with("getpid"), "{exported}");
    }

    #[test]
    fn an_address_without_a_file_is_itself() {
        assert_eq!(name(8), "0x8");
        let variable = 1_u8;
        let address = (&raw const variable).addr() as u64;
        assert_eq!(name(address), format!("{address:#x}"), "the stack has no file");
    }

    #[test]
    fn a_place_is_the_mapping_with_the_address() {
        let maps = b"\
            1000-3000 r--p 00000000 fd:00 17                         /usr/bin/a b\n\
            3000-4000 r-xp 00002000 fd:00 17                         /usr/bin/a b\n\
            5000-6000 rw-p 00000000 00:00 0\n\
            7000-8000 rw-p 00000000 00:00 0                          [heap]\n\
            \xff\n\n9000\n";
        let place = |offset| Some(Place { path: "/usr/bin/a b".into(), offset });
        assert_eq!(place_of(maps, 0x3010), place(0x2010));
        assert_eq!(place_of(maps, 0x2fff), place(0x1fff));
        for address in [0xfff, 0x4000, 0x5000, 0x7000, 0x9000] {
            assert_eq!(place_of(maps, address), None, "{address:#x}");
        }
    }

    #[test]
    fn debug_information_is_found_by_its_build_id() {
        let path = debug_path(&[0xab, 0x0c, 0xde]).expect("an id");
        assert_eq!(path.to_str(), Some("/usr/lib/debug/.build-id/ab/0cde.debug"));
        assert_eq!(debug_path(&[]), None);
    }
}
