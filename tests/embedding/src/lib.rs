//! What both programs do with an embedded base, and what must come of it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evshard::{Config, Embedded, EventBase, EventId, EventSpec, Fired, Interest, Registry, Remote};

/// Timers, bytes and posted closures of a run.
const COUNT: u32 = 20;
const INTERVAL: Duration = Duration::from_millis(2);

/// The context, and what the other loop has done beside the base.
pub struct App {
    reader: UnixStream,
    ticker: Option<EventId>,
    due: Instant,
    ticks: u32,
    bytes: u32,
    posts: u32,
    /// Added by the outer loop between two turns.
    pub added_outside: u32,
}

/// The thread that writes and posts.
pub type Poster = JoinHandle<evshard::Result<()>>;

/// A base with a ticker and a reader; and a thread that writes to the reader and posts closures.
pub fn start() -> evshard::Result<(Embedded<App>, App, Poster)> {
    let mut base = EventBase::new(Config::default())?;
    let (reader, mut writer) = UnixStream::pair().expect("the process may open two more files");
    reader.set_nonblocking(true).expect("a socket can be non-blocking");
    let registry = base.registry();
    let ticker = registry.create(EventSpec::timer().persist(), on_tick);
    let readable = EventSpec::io(&reader, Interest::READ).persist();
    let readable = registry.create(readable, on_readable);
    registry.add(readable, None)?;
    registry.add(ticker, Some(INTERVAL))?;
    let due = registry.deadline(ticker).expect("it was just added");
    let (ticks, bytes, posts, added_outside) = (0, 0, 0, 0);
    let ticker = Some(ticker);
    let app = App { reader, ticker, due, ticks, bytes, posts, added_outside };
    let remote: Remote<App> = base.remote();
    let thread = std::thread::spawn(move || {
        for _ in 0..COUNT {
            writer.write_all(b"x").expect("the reader exists until all is read");
            remote.post(|_, app| app.posts += 1)?;
        }
        Ok(())
    });
    Ok((base.embed()?, app, thread))
}

/// Between two turns: the outer loop adds an event of its own.
pub fn add_outside(base: &mut Embedded<App>) -> evshard::Result<()> {
    let timer = EventSpec::timer();
    base.registry().once(timer, Some(INTERVAL), |_, app, _| app.added_outside += 1).map(drop)
}

/// Checks what a run did.
pub fn check(app: &App) -> Result<(), String> {
    let done = (app.ticks, app.bytes, app.posts, app.added_outside);
    if done == (COUNT, COUNT, COUNT, 1) {
        return Ok(());
    }
    Err(format!("expected {COUNT} ticks, bytes and posts and an event from outside: {done:?}"))
}

fn on_tick(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
    assert!(Instant::now() >= app.due, "a tick is early");
    app.due = registry.deadline(fired.id).expect("a persistent timer runs on");
    app.ticks += 1;
    if app.ticks == COUNT {
        // A handler that changes events; the reader ends the loop once it has all.
        app.ticker.take().into_iter().for_each(|id| registry.free(id));
        let spec = EventSpec::timer().persist();
        let id = registry.create(spec, end_when_complete);
        registry.add(id, Some(INTERVAL)).expect("adding a timer needs no system call");
    }
}

fn on_readable(_: &mut Registry<App>, app: &mut App, _: Fired) {
    let mut buffer = [0; 7];
    if let Ok(read) = app.reader.read(&mut buffer) {
        app.bytes += u32::try_from(read).expect("a short buffer");
    }
}

fn end_when_complete(registry: &mut Registry<App>, app: &mut App, _: Fired) {
    if check(app).is_ok() {
        registry.loop_exit();
    }
}
