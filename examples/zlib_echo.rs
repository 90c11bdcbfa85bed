//! A filter of one's own: a server that speaks zlib and sends back what it receives.
//!
//! ```text
//! $ cargo run --example zlib_echo         # or with an address, instead of 127.0.0.1:5555
//! listening on 127.0.0.1:5555
//! 12 bytes                                # after a client sent them, compressed
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::io::{self, ErrorKind};

use evshard::{
    Accepted, Buffer, BuffereventHandlers, BuffereventId, BuffereventOptions, Bufferevents, Config,
    EventBase, Filter, FilterResult, FlushMode, HasBufferevents, Interest, ListenOptions,
    ListenerId, Registry, What,
};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Compresses what is written, and decompresses what is read.
struct Zlib {
    compress: Compress,
    decompress: Decompress,
}

impl Zlib {
    fn new() -> Self {
        Self {
            compress: Compress::new(Compression::fast(), true),
            decompress: Decompress::new(true),
        }
    }
}

impl Filter for Zlib {
    fn read(
        &mut self,
        from: &mut Buffer,
        into: &mut Buffer,
        limit: usize,
        _: FlushMode,
    ) -> io::Result<FilterResult> {
        let mut some = [0; 4096];
        let n = from.copy_out(0, &mut some);
        let mut out = vec![0; limit.min(16 << 10)];
        let (read, written) = (self.decompress.total_in(), self.decompress.total_out());
        let status = self
            .decompress
            .decompress(&some[..n], &mut out, FlushDecompress::None)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        from.drain((self.decompress.total_in() - read) as usize);
        let produced = (self.decompress.total_out() - written) as usize;
        into.append(&out[..produced]);
        if status == Status::StreamEnd {
            self.decompress.reset(true);
        }
        Ok(if produced > 0 { FilterResult::Ok } else { FilterResult::NeedMore })
    }

    /// Each write is complete for the reader: what is sent is flushed.
    fn write(
        &mut self,
        from: &mut Buffer,
        into: &mut Buffer,
        _: usize,
        _: FlushMode,
    ) -> io::Result<FilterResult> {
        let mut some = [0; 4096];
        let n = from.remove(&mut some);
        let flush = if from.is_empty() { FlushCompress::Sync } else { FlushCompress::None };
        let mut out = Vec::with_capacity(n + 128);
        let mut rest = &some[..n];
        loop {
            let before = self.compress.total_in();
            self.compress.compress_vec(rest, &mut out, flush).map_err(io::Error::other)?;
            rest = &rest[(self.compress.total_in() - before) as usize..];
            // With room left, all is compressed and flushed.
            if out.len() < out.capacity() {
                break;
            }
            out.reserve(128);
        }
        into.append(&out);
        Ok(FilterResult::Ok)
    }
}

#[derive(Default)]
struct App {
    bufferevents: Bufferevents<Self>,
}

impl HasBufferevents for App {
    fn bufferevents(&mut self) -> &mut Bufferevents<Self> {
        &mut self.bufferevents
    }
}

fn on_client(registry: &mut Registry<App>, app: &mut App, _: ListenerId, client: Accepted) {
    let options = BuffereventOptions::empty();
    let Ok(below) = app.bufferevents.socket(registry, client.socket, options) else { return };
    let Ok(id) = app.bufferevents.filter(registry, below, Zlib::new(), options) else { return };
    let Some(mut bufferevent) = app.bufferevents.get(registry, id) else { return };
    bufferevent.set_handlers(BuffereventHandlers {
        read: Some(on_read),
        write: None,
        event: Some(on_event),
    });
    bufferevent.enable(Interest::READ);
}

fn on_read(registry: &mut Registry<App>, app: &mut App, id: BuffereventId) {
    let Some(mut bufferevent) = app.bufferevents.get(registry, id) else { return };
    let (input, output) = bufferevent.buffers();
    println!("{} bytes", input.len());
    output.append_buffer(input);
}

fn on_event(registry: &mut Registry<App>, app: &mut App, id: BuffereventId, what: What) {
    let Some(mut bufferevent) = app.bufferevents.get(registry, id) else { return };
    if let Some(error) = bufferevent.take_error() {
        println!("{error}");
    }
    if what.intersects(What::EOF | What::ERROR) {
        bufferevent.free_when_sent();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:5555".to_owned()).parse()?;
    let mut app = App::default();
    let mut base = EventBase::new(Config::default())?;
    let options = ListenOptions::default();
    let listener = app.bufferevents.listen(base.registry(), address, options, on_client)?;
    let listening =
        app.bufferevents.listener(base.registry(), listener).and_then(|it| it.local_address());
    println!("listening on {}", listening.unwrap_or(address));
    base.run(&mut app)?;
    Ok(())
}
