//! The lines between the chunks of a body (RFC 9112, section 7.1).

use super::super::frame::common_bytes;
use super::fault::Fault;

/// Reads the line before a chunk: its length, and that of the chunk.
pub(super) fn size_line(bytes: &[u8]) -> Result<Option<(usize, u64)>, Fault> {
    // The parser takes a line without any digit for a zero.
    if bytes.first().is_some_and(|first| !first.is_ascii_hexdigit()) {
        return Err(Fault::at(bytes, 0, None, "no length of a chunk".to_owned()));
    }
    match httparse::parse_chunk_size(bytes) {
        Ok(httparse::Status::Complete(line)) => Ok(Some(line)),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(Fault::search(bytes, "no length of a chunk".to_owned(), |beginning| {
            httparse::parse_chunk_size(beginning).is_err()
        })),
    }
}

/// Reads the end of a chunk, which says nothing.
pub(super) fn end(bytes: &[u8]) -> Result<Option<(usize, ())>, Fault> {
    let expected = b"\r\n";
    let came = &bytes[..bytes.len().min(expected.len())];
    let right = common_bytes(came, expected);
    if right < came.len() {
        let note = "the chunk is longer than its line says".to_owned();
        return Err(Fault::at(bytes, right, Some(expected[right]), note));
    }
    Ok((right == expected.len()).then_some((right, ())))
}

/// Reads a line behind the last chunk: its length, and whether it is the last one.
pub(super) fn trailer(bytes: &[u8]) -> Result<Option<(usize, bool)>, Fault> {
    let note = || "no trailer of a chunked body".to_owned();
    let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return Ok(None);
    };
    match bytes[at..] {
        [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some((at + 2, at == 0))),
        [b'\r', ..] => Err(Fault::at(bytes, at + 1, Some(b'\n'), note())),
        _ => Err(Fault::at(bytes, at, Some(b'\r'), note())),
    }
}
