//! What the clients of TCP connections sent, in the order in which they sent it, and the requests
//! in it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;

use super::http::{BODY_BYTES_MAX, Parsed, parse};
use super::{Import, Imported};

/// So many bytes behind a gap prove that what is in it will not come.
const BEHIND_GAP_MAX: usize = 1 << 20;

/// Most bytes of a request that has not come whole: a body in the shortest chunks is not larger.
const BUFFER_MAX: usize = 8 * BODY_BYTES_MAX;

const LOST: &str = "places where packets are missing, and with them requests";
const NO_REQUEST: &str = "connections without a request of HTTP/1.1, perhaps with TLS";
const INVALID: &str = "places where no request of HTTP/1.1 follows another";

/// From whom to whom.
pub(super) type Direction = (SocketAddr, SocketAddr);

/// What one packet says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) at_ns: u64,
    pub(super) number: u32,
    pub(super) begins: bool,
    /// Whether it begins what a client sends.
    pub(super) of_client: bool,
    pub(super) ends: bool,
    pub(super) payload: &'a [u8],
}

/// All directions of all connections.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: HashMap<Direction, Stream>,
    import: Import,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Stream {
    /// The sequence number of the next byte, once one is known.
    next: Option<u32>,
    /// Segments behind a gap, by their distance from the beginning of it.
    waiting: BTreeMap<u32, (u64, Vec<u8>)>,
    /// What is not a whole request yet.
    buffer: Vec<u8>,
    /// The times of the bytes in the buffer: each from this place on.
    times: VecDeque<(usize, u64)>,
    /// The buffer is parsed once it has so many bytes.
    parse_from: usize,
    /// Whether a request has been found. Without one, this is not what a client of HTTP sends.
    has_requests: bool,
    is_of_client: bool,
    has_bytes: bool,
    /// The sequence number behind the last byte, once it is known.
    end: Option<u32>,
}

impl Streams {
    /// Takes a packet.
    pub(super) fn take(&mut self, direction: Direction, segment: Segment<'_>) {
        let stream = self.streams.entry(direction).or_default();
        if segment.begins {
            let begun = Stream {
                next: Some(segment.number.wrapping_add(1)),
                is_of_client: segment.of_client,
                ..Stream::default()
            };
            // The addresses may be those of an earlier connection.
            std::mem::replace(stream, begun).finish(direction, &mut self.import);
        }
        let payload_number = segment.number.wrapping_add(segment.begins.into());
        if segment.ends {
            stream.end = Some(payload_number.wrapping_add(segment.payload.len() as u32));
        }
        stream.append(payload_number, segment, direction, &mut self.import);
        // The end may have come before the bytes in front of it.
        if stream.end.is_some()
            && stream.end == stream.next
            && let Some(stream) = self.streams.remove(&direction)
        {
            stream.finish(direction, &mut self.import);
        }
    }

    /// All requests. Those that have not come whole are left out.
    pub(super) fn finish(self) -> Import {
        let mut import = self.import;
        self.streams.into_iter().for_each(|(from, stream)| stream.finish(from, &mut import));
        import
    }

    /// The first `most` requests, before the end of the streams.
    pub(super) fn into_first(self, most: usize) -> Import {
        let mut import = self.import;
        import.requests.truncate(most);
        import
    }

    pub(super) fn import(&mut self) -> &mut Import {
        &mut self.import
    }
}

fn place((from, to): Direction) -> String {
    format!("from {from} to {to}")
}

impl Stream {
    fn append(&mut self, number: u32, segment: Segment<'_>, from: Direction, import: &mut Import) {
        let next = *self.next.get_or_insert(number);
        let ahead = number.wrapping_sub(next);
        if segment.payload.is_empty() {
            return;
        }
        self.has_bytes = true;
        if ahead < 1 << 31 && ahead > 0 {
            // A part of a segment may come again.
            let known = self.waiting.get(&ahead).map_or(0, |(_, bytes)| bytes.len());
            if known < segment.payload.len() {
                self.waiting.insert(ahead, (segment.at_ns, segment.payload.to_vec()));
            }
            let behind_gap: usize = self.waiting.values().map(|(_, bytes)| bytes.len()).sum();
            if behind_gap > BEHIND_GAP_MAX {
                self.skip_gap(from, import);
            }
            return;
        }
        // Bytes that have come before, in a packet that was sent again.
        let known = next.wrapping_sub(number) as usize;
        let Some(new) = segment.payload.get(known..).filter(|new| !new.is_empty()) else { return };
        self.push(segment.at_ns, new, from, import);
        self.take_waiting(new.len() as u32, from, import);
    }

    /// Takes the segments that are not behind a gap any more, after `passed` bytes.
    fn take_waiting(&mut self, passed: u32, from: Direction, import: &mut Import) {
        let mut passed = passed;
        while let Some(entry) = self.waiting.first_entry()
            && *entry.key() <= passed
        {
            let (ahead, (at_ns, bytes)) = entry.remove_entry();
            if let Some(new) = bytes.get((passed - ahead) as usize..)
                && !new.is_empty()
            {
                self.push(at_ns, new, from, import);
                passed += new.len() as u32;
            }
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().map(|(ahead, rest)| (ahead - passed, rest)).collect();
    }

    /// Goes on behind a gap. The request in it is lost.
    fn skip_gap(&mut self, from: Direction, import: &mut Import) {
        let Some((&ahead, _)) = self.waiting.first_key_value() else { return };
        if self.has_requests {
            import.left_out.add(LOST, || place(from));
        }
        self.forget();
        self.next = self.next.map(|next| next.wrapping_add(ahead));
        self.take_waiting(ahead, from, import);
    }

    /// What a client has begun and not ended is left out. What a server sends is in no buffer.
    fn finish(self, from: Direction, import: &mut Import) {
        if !self.buffer.is_empty() || !self.waiting.is_empty() && self.has_requests {
            import.left_out.add("requests that are not whole", || place(from));
        } else if self.is_of_client && self.has_bytes && !self.has_requests {
            import.left_out.add(NO_REQUEST, || place(from));
        }
    }

    fn forget(&mut self) {
        self.buffer = Vec::new();
        self.times.clear();
        self.parse_from = 0;
    }

    /// Takes bytes that follow those before.
    fn push(&mut self, at_ns: u64, bytes: &[u8], from: Direction, import: &mut Import) {
        self.next = self.next.map(|next| next.wrapping_add(bytes.len() as u32));
        self.times.push_back((self.buffer.len(), at_ns));
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= self.parse_from {
            self.parse(from, import);
        }
    }

    fn parse(&mut self, from: Direction, import: &mut Import) {
        let mut begin = 0;
        while begin < self.buffer.len() {
            match parse(&self.buffer[begin..]) {
                Parsed::Request(request, length) => {
                    self.has_requests = true;
                    import.requests.push(Imported { at_ns: self.time_at(begin), ..request });
                    begin += length;
                }
                Parsed::Incomplete { needed } if begin + needed <= BUFFER_MAX => {
                    self.keep_from(begin);
                    self.parse_from = needed;
                    return;
                }
                Parsed::Incomplete { .. } | Parsed::Invalid => {
                    if self.has_requests {
                        import.left_out.add(INVALID, || place(from));
                    }
                    break;
                }
            }
        }
        self.forget();
    }

    /// When the byte at this place of the buffer was sent.
    fn time_at(&self, place: usize) -> u64 {
        let after = self.times.partition_point(|(begin, _)| *begin <= place);
        after.checked_sub(1).map_or(0, |index| self.times[index].1)
    }

    fn keep_from(&mut self, begin: usize) {
        let at_ns = self.time_at(begin);
        self.buffer.drain(..begin);
        self.times.retain(|(place, _)| *place > begin);
        self.times.iter_mut().for_each(|(place, _)| *place -= begin);
        self.times.push_front((0, at_ns));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn direction() -> Direction {
        ("10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap())
    }

    fn request(number: usize) -> Vec<u8> {
        let body = "x".repeat(number * 7 % 30);
        format!("POST /{number} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
    }

    /// A stream of requests, cut into segments of these lengths, with the number of each.
    fn segments(count: usize, lengths: &[usize], first: u32) -> Vec<(u32, Vec<u8>)> {
        let stream: Vec<u8> = (0..count).flat_map(request).collect();
        let (mut segments, mut at) = (Vec::new(), 0);
        for length in lengths.iter().cycle() {
            if at == stream.len() {
                break;
            }
            let end = (at + length).min(stream.len());
            segments.push((first.wrapping_add(at as u32), stream[at..end].to_vec()));
            at = end;
        }
        segments
    }

    fn take(streams: &mut Streams, at_ns: u64, number: u32, payload: &[u8]) {
        let segment =
            Segment { at_ns, number, begins: false, of_client: false, ends: false, payload };
        streams.take(direction(), segment);
    }

    fn begin(streams: &mut Streams, number: u32) {
        let segment =
            Segment { at_ns: 0, number, begins: true, of_client: true, ends: false, payload: &[] };
        streams.take(direction(), segment);
    }

    proptest! {
        #[test]
        fn requests_are_found_whatever_the_order_of_their_segments(
            first: u32,
            lengths in prop::collection::vec(1_usize..90, 1..20),
            seed: u64,
        ) {
            let mut streams = Streams::default();
            begin(&mut streams, first.wrapping_sub(1));
            // Each segment comes twice, once only its first half, up to five places late.
            let mut sent: Vec<_> = segments(40, &lengths, first).into_iter().enumerate().collect();
            let half = |(index, (number, bytes)): &(usize, (u32, Vec<u8>))| {
                (*index, (*number, bytes[..bytes.len().div_ceil(2)].to_vec()))
            };
            sent.extend(sent.iter().map(half).collect::<Vec<_>>());
            sent.sort_by_key(|(index, (_, bytes))| {
                let (index, length) = (*index as u64, bytes.len() as u64);
                index + crate::schedule::random::at(seed, 1000 * index + length) % 5
            });
            for (index, (number, payload)) in &sent {
                take(&mut streams, *index as u64, *number, payload);
            }
            let import = streams.finish();
            let paths: Vec<&str> = import.requests.iter().map(|found| &*found.path).collect();
            let expected: Vec<String> = (0..40).map(|number| format!("/{number}")).collect();
            prop_assert_eq!(paths, expected);
            prop_assert!(import.left_out.is_empty(), "{}", import.left_out);
            let sorted = import.requests.is_sorted_by_key(|found| found.at_ns);
            prop_assert!(sorted, "a request has the time of its first byte");
        }
    }

    #[test]
    fn a_lost_packet_costs_the_requests_in_it_and_no_more() {
        let mut streams = Streams::default();
        begin(&mut streams, 99);
        let all = segments(100_000, &[1000], 100);
        for (index, (number, payload)) in all.iter().enumerate() {
            if index != 5 {
                take(&mut streams, index as u64, *number, payload);
            }
        }
        let import = streams.finish();
        assert!(import.requests.len() > 70_000, "{}", import.requests.len());
        assert!(import.left_out.to_string().contains("packets are missing"), "{}", import.left_out);
    }

    #[test]
    fn what_servers_send_is_no_request_and_not_left_out() {
        let mut streams = Streams::default();
        take(&mut streams, 0, 1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        take(&mut streams, 0, 39, b"\x16\x03\x01");
        let import = streams.finish();
        assert!(import.requests.is_empty() && import.left_out.is_empty());
    }

    #[test]
    fn an_end_that_overtakes_its_bytes_loses_none_of_them() {
        let mut streams = Streams::default();
        begin(&mut streams, 99);
        let all = request(4);
        let (first, last) = all.split_at(20);
        take(&mut streams, 1, 100, first);
        let number = 100 + all.len() as u32;
        let end =
            Segment { at_ns: 2, number, begins: false, of_client: false, ends: true, payload: &[] };
        streams.take(direction(), end);
        take(&mut streams, 3, 120, last);
        let import = streams.finish();
        assert_eq!((import.requests.len(), import.left_out.is_empty()), (1, true));
    }

    #[test]
    fn a_connection_without_a_request_is_left_out_and_counted() {
        let mut streams = Streams::default();
        begin(&mut streams, 99);
        take(&mut streams, 1, 100, b"\x16\x03\x01 and what follows");
        let said = streams.finish().left_out.to_string();
        assert!(said.starts_with("connections without a request of HTTP/1.1"), "{said}");
    }

    #[test]
    fn a_connection_whose_begin_is_not_there_is_read_from_its_next_request() {
        let mut streams = Streams::default();
        take(&mut streams, 0, 10, b"rest of a body");
        take(&mut streams, 7, 24, &request(3));
        let end = 24 + request(3).len() as u32;
        let (number, payload) = (end, &b"GET / HT"[..]);
        let last =
            Segment { at_ns: 8, number, begins: false, of_client: false, ends: true, payload };
        streams.take(direction(), last);
        let import = streams.finish();
        assert_eq!((import.requests.len(), import.requests[0].at_ns), (1, 7));
        assert!(import.left_out.to_string().starts_with("requests that are not whole: 1"));
    }
}
