//! Socket pairs: bytes written to the writer are read from the reader.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) reader: UnixStream,
    pub(crate) writer: UnixStream,
}

impl Pair {
    fn open() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader, writer })
    }

    pub(crate) fn open_many(count: u32) -> io::Result<Vec<Self>> {
        (0..count).map(|_| Self::open()).collect()
    }

    #[inline]
    pub(crate) fn read_byte(&mut self) {
        let count = self.reader.read(&mut [0]).expect("a byte that made it readable");
        assert_eq!(count, 1, "no socket is closed");
    }

    #[inline]
    pub(crate) fn write_byte(&mut self) {
        let count = self.writer.write(b"e").expect("room for a byte");
        assert_eq!(count, 1, "room for a byte");
    }

    /// Writes at the reader's end until no more fits: it is not writable any longer.
    pub(crate) fn fill_backwards(&mut self) -> io::Result<()> {
        loop {
            match self.reader.write(&[0; 4096]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}
