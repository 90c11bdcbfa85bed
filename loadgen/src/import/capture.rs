//! Captured packets: pcap and pcapng files, and the TCP segments in them.

use std::io::BufRead;
use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::pcapng::Block;
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Linktype, PcapBlockOwned, PcapError, create_reader};

use super::Import;
use super::tcp::{Segment, Streams};

const NANOSECONDS: u128 = 1_000_000_000;

/// Bytes of the file in memory at first, and at most: a packet must fit.
const BUFFER_BYTES: usize = 1 << 18;
const BUFFER_BYTES_MAX: usize = 4 << 20;

/// How the packets of an interface begin, and in which unit their times count.
#[derive(Debug, Clone, Copy)]
struct Interface {
    link: Linktype,
    units_per_s: u64,
    offset_s: i64,
}

/// Reads the first `most` requests of a capture. Only what was sent to this port counts, if there
/// is one.
pub(super) fn read(
    input: impl BufRead + Send,
    port: Option<u16>,
    most: usize,
) -> Result<Import, String> {
    let mut reader = create_reader(BUFFER_BYTES, input).map_err(|error| complaint(&error, 0))?;
    let mut packets = Packets { port, ..Packets::default() };
    let mut capacity = BUFFER_BYTES;
    while packets.streams.import().requests.len() < most {
        let error = match reader.next() {
            Ok((length, block)) => {
                packets.take(&block)?;
                reader.consume(length);
                continue;
            }
            Err(error) => error.to_owned_vec(),
        };
        match error {
            PcapError::Eof => return Ok(packets.streams.finish()),
            PcapError::BufferTooSmall if capacity < BUFFER_BYTES_MAX => {
                capacity *= 2;
                reader.grow(capacity);
            }
            PcapError::Incomplete(_) if !reader.reader_exhausted() => {
                refill(&mut *reader, packets.count)?;
            }
            // A capture that was ended by force has half a packet at its end.
            error if packets.count > 0 => {
                let place = || complaint(&error, packets.count);
                packets.streams.import().left_out.add("the rest of the file", place);
                return Ok(packets.streams.finish());
            }
            error => return Err(complaint(&error, packets.count)),
        }
    }
    Ok(packets.streams.into_first(most))
}

fn refill(reader: &mut dyn PcapReaderIterator, packets: u64) -> Result<(), String> {
    reader.refill().map_err(|error| complaint(&error, packets))
}

/// What is wrong with the file behind so many packets.
fn complaint(error: &PcapError<&[u8]>, packets: u64) -> String {
    let what = match error {
        PcapError::Eof => return "the file is empty; name a capture of tcpdump -w".to_owned(),
        PcapError::HeaderNotRecognized => {
            return "it is no pcap or pcapng file; name a capture of tcpdump -w".to_owned();
        }
        PcapError::ReadError => "it cannot be read",
        PcapError::Incomplete(_) | PcapError::UnexpectedEof => "it ends within a packet",
        PcapError::BufferTooSmall => "a packet has more than 4 MiB",
        PcapError::NomError(..) | PcapError::OwnedNomError(..) => "it is damaged",
    };
    format!("{what}, after packet {packets}; capture again with tcpdump -w")
}

/// What has been read.
#[derive(Debug, Default)]
struct Packets {
    port: Option<u16>,
    interfaces: Vec<Interface>,
    count: u64,
    streams: Streams,
}

impl Packets {
    fn take(&mut self, block: &PcapBlockOwned<'_>) -> Result<(), String> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let units_per_s =
                    if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
                self.interfaces =
                    vec![Interface { link: header.network, units_per_s, offset_s: 0 }];
            }
            PcapBlockOwned::Legacy(packet) => {
                let Some(&interface) = self.interfaces.first() else { return Ok(()) };
                let units = u64::from(packet.ts_sec) * interface.units_per_s;
                let units = units + u64::from(packet.ts_usec);
                let is_cut = packet.caplen < packet.origlen;
                self.packet(interface, units, packet.data, is_cut)?;
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                let units_per_s = interface.ts_resolution().filter(|units| *units > 0);
                let units_per_s = units_per_s.ok_or("an interface has no unit of time")?;
                let offset_s = interface.if_tsoffset;
                self.interfaces.push(Interface { link: interface.linktype, units_per_s, offset_s });
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let Some(&interface) = self.interfaces.get(packet.if_id as usize) else {
                    return Err(format!("packet {} has no interface", self.count));
                };
                let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let data = packet.data.get(..packet.caplen as usize).unwrap_or(packet.data);
                self.packet(interface, units, data, packet.caplen < packet.origlen)?;
            }
            PcapBlockOwned::NG(Block::SimplePacket(_)) => {
                let count = self.count;
                let place = || format!("after packet {count}");
                self.streams.import().left_out.add("packets without a time", place);
            }
            PcapBlockOwned::NG(_) => {}
        }
        Ok(())
    }

    fn packet(
        &mut self,
        interface: Interface,
        units: u64,
        data: &[u8],
        is_cut: bool,
    ) -> Result<(), String> {
        self.count += 1;
        let Some(packet) = sliced(interface.link, data)? else { return Ok(()) };
        let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { return Ok(()) };
        let Some((from, to)) = addresses(&packet) else { return Ok(()) };
        if self.port.is_some_and(|port| port != tcp.destination_port()) {
            return Ok(());
        }
        if is_cut {
            let place = || "capture all of a packet, with tcpdump -s 0".to_owned();
            self.streams.import().left_out.add("packets that are cut", place);
            return Ok(());
        }
        let at_ns = u128::from(units) * NANOSECONDS / u128::from(interface.units_per_s);
        let offset_ns = interface.offset_s.saturating_mul(NANOSECONDS as i64);
        let at_ns = u64::try_from(at_ns).unwrap_or(u64::MAX).saturating_add_signed(offset_ns);
        let direction =
            (SocketAddr::new(from, tcp.source_port()), SocketAddr::new(to, tcp.destination_port()));
        let segment = Segment {
            at_ns,
            number: tcp.sequence_number(),
            begins: tcp.syn(),
            of_client: tcp.syn() && !tcp.ack(),
            ends: tcp.fin() || tcp.rst(),
            payload: tcp.payload(),
        };
        self.streams.take(direction, segment);
        Ok(())
    }
}

/// The headers of a packet; nothing if it has none that are known here.
fn sliced(link: Linktype, data: &[u8]) -> Result<Option<LaxSlicedPacket<'_>>, String> {
    let typed = |at: usize, header: usize| {
        let word = data.get(at..at + 2)?;
        let kind = EtherType(u16::from_be_bytes([word[0], word[1]]));
        Some(LaxSlicedPacket::from_ether_type(kind, data.get(header..)?))
    };
    Ok(match link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(data).ok(),
        Linktype::LINUX_SLL => typed(14, 16),
        Linktype(276) => typed(0, 20), // LINUX_SLL2, the interface "any" of newer tcpdumps
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => LaxSlicedPacket::from_ip(data).ok(),
        Linktype::NULL | Linktype::LOOP => {
            data.get(4..).and_then(|data| LaxSlicedPacket::from_ip(data).ok())
        }
        Linktype(number) => {
            return Err(format!(
                "packets of link type {number} are not known here; capture on an Ethernet or \
                 loopback interface, or on 'any'"
            ));
        }
    })
}

fn addresses(packet: &LaxSlicedPacket<'_>) -> Option<(IpAddr, IpAddr)> {
    match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            Some((header.source_addr().into(), header.destination_addr().into()))
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            Some((header.source_addr().into(), header.destination_addr().into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    const SECOND: u32 = 1_700_000_000;

    /// A packet with these bytes from a client to a server, as an Ethernet frame.
    fn frame(number: u32, payload: &[u8]) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([1; 6], [2; 6]);
        let builder = builder.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        let mut bytes = Vec::new();
        builder.tcp(4000, 80, number, 1000).write(&mut bytes, payload).unwrap();
        // The shortest frame has 60 bytes, some of which belong to no packet.
        bytes.resize(bytes.len().max(60), 0);
        bytes
    }

    /// The frame without the header of Ethernet, behind another one.
    fn behind(header: &[u8], frame: &[u8]) -> Vec<u8> {
        [header, &frame[14..]].concat()
    }

    /// A pcap file with a packet each quarter of a second.
    fn pcap(magic: u32, units_per_s: u32, link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
        let words = [magic, 0x0004_0002, 0, 0, 262_144, link];
        let mut file: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        for (index, packet) in (0..).zip(packets) {
            let length = packet.len() as u32;
            for word in [SECOND, index * units_per_s / 4, length, length] {
                file.extend_from_slice(&word.to_le_bytes());
            }
            file.extend_from_slice(packet);
        }
        file
    }

    /// A block of pcapng.
    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let length = (padded as u32 + 12).to_le_bytes();
        let mut block = [&kind.to_le_bytes()[..], &length, body].concat();
        block.resize(8 + padded, 0);
        [block, length.to_vec()].concat()
    }

    /// The same as pcapng, whose times count in milliseconds.
    fn pcapng(packets: &[Vec<u8>]) -> Vec<u8> {
        let section = [0x1a2b_3c4d_u32.to_le_bytes(), [1, 0, 0, 0], [0xff; 4], [0xff; 4]].concat();
        // Ethernet, no limit of length, and the option if_tsresol: 10^-3 s.
        let interface =
            [&[1, 0, 0, 0, 0, 0, 0, 0][..], &[9, 0, 1, 0, 3, 0, 0, 0], &[0; 4]].concat();
        let mut file = [block(0x0a0d_0d0a, &section), block(1, &interface)].concat();
        for (index, packet) in (0..).zip(packets) {
            let at = u64::from(SECOND) * 1000 + index * 250;
            let length = packet.len() as u32;
            let words = [0, (at >> 32) as u32, at as u32, length, length];
            let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            body.extend_from_slice(packet);
            file.extend(block(6, &body));
        }
        file
    }

    fn packets() -> Vec<Vec<u8>> {
        let all = b"GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nxy";
        let parts = [&all[..5], &all[5..30], &all[30..]];
        let numbers = [7, 12, 37];
        numbers.into_iter().zip(parts).map(|(number, part)| frame(number, part)).collect()
    }

    /// The paths and the milliseconds of the requests in a file, which has nothing else.
    #[track_caller]
    fn found(file: &[u8]) -> Vec<(String, u64)> {
        let import = read(file, Some(80), usize::MAX).unwrap();
        assert!(import.left_out.is_empty(), "{}", import.left_out);
        let ms =
            |request: &super::super::Imported| request.at_ns / 1_000_000 - u64::from(SECOND) * 1000;
        import.requests.iter().map(|request| (request.path.clone(), ms(request))).collect()
    }

    #[test]
    fn all_formats_and_links_give_the_same_requests_and_times() {
        let expected = [("/a".to_owned(), 0), ("/b".to_owned(), 250)];
        let packets = packets();
        let with = |header: &[u8]| packets.iter().map(|frame| behind(header, frame)).collect();
        let cooked = [[0; 14].as_slice(), &[8, 0]].concat();
        let cooked_2 = [[8, 0].as_slice(), &[0; 18]].concat();
        for (link, packets) in [
            (1, packets.clone()),
            (113, with(&cooked)),
            (276, with(&cooked_2)),
            (101, with(&[])),
            (0, with(&[2, 0, 0, 0])),
        ] {
            for (magic, units_per_s) in [(0xa1b2_c3d4, 1_000_000), (0xa1b2_3c4d, 1_000_000_000)] {
                assert_eq!(found(&pcap(magic, units_per_s, link, &packets)), expected, "{link}");
            }
        }
        assert_eq!(found(&pcapng(&packets)), expected);
    }

    #[test]
    fn other_ports_do_not_count() {
        let import = read(&pcapng(&packets())[..], Some(81), usize::MAX).unwrap();
        assert!(import.requests.is_empty());
    }

    #[test]
    fn a_file_that_was_cut_gives_what_is_in_it_and_says_so() {
        let file = pcap(0xa1b2_c3d4, 1_000_000, 1, &packets());
        let import = read(&file[..file.len() - 1], None, usize::MAX).unwrap();
        assert_eq!(import.requests.len(), 1);
        let said = import.left_out.to_string();
        assert!(said.contains("it ends within a packet, after packet 2"), "{said}");
    }

    #[test]
    fn what_is_no_capture_is_named_with_the_remedy() {
        for (file, said) in [
            (&b""[..], "the file is empty"),
            (b"GET / HTTP/1.1\r\n\r\n and what follows it", "no pcap or pcapng file"),
            (&pcap(0xa1b2_c3d4, 1, 147, &packets()), "link type 147 are not known here"),
        ] {
            let complaint = read(file, None, usize::MAX).unwrap_err();
            assert!(complaint.contains(said), "{complaint}");
        }
    }

    #[test]
    fn no_byte_of_a_damaged_file_ends_the_program() {
        for file in [pcap(0xa1b2_c3d4, 1_000_000, 1, &packets()), pcapng(&packets())] {
            for at in 0..file.len() {
                for byte in [0, 0x7f, 0xff] {
                    let mut damaged = file.clone();
                    damaged[at] = byte;
                    let _ = read(&damaged[..], None, usize::MAX);
                }
                let _ = read(&file[..at], None, usize::MAX);
            }
        }
    }
}
