//! The checksum of version 2: CRC-32C (Castagnoli), as in iSCSI (RFC 3720, appendix B.4).
//!
//! It works bit by bit. A connection has one header of about a hundred bytes, which takes less than
//! a microsecond. A table or an instruction would only pay off for megabytes.

/// The polynomial, lowest bit first.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// The checksum of all bytes.
pub(super) fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    let add_bit = |sum: u32| (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 };
    !bytes.fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| add_bit(sum)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksums_of_the_rfc_and_of_the_usual_check_string() {
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c([0; 32].iter()), 0x8A91_36AA);
        assert_eq!(crc32c([0xFF; 32].iter()), 0x62A8_AB43);
        assert_eq!(crc32c(ascending.iter()), 0x46DD_794E);
        assert_eq!(crc32c(b"123456789".iter()), 0xE306_9283);
    }
}
