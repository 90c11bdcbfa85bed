//! An event base inside GLib's main loop: a source for its descriptor, and one for its timeout.

use std::cell::RefCell;
use std::error::Error;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use embedding::{App, Poster};
use evshard::Embedded;
use glib::{ControlFlow, IOCondition, MainLoop, SourceId};

const TEST_TIMEOUT: Duration = Duration::from_secs(60);

struct Guest {
    base: Embedded<App>,
    app: App,
    main_loop: MainLoop,
    /// Ends the wait of the main loop when a timeout of the base is due.
    timeout: Option<SourceId>,
    failure: Option<Box<dyn Error>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (base, app, thread) = embedding::start()?;
    let main_loop = MainLoop::new(None, false);
    let guest = Guest { base, app, main_loop: main_loop.clone(), timeout: None, failure: None };
    let guest = Rc::new(RefCell::new(guest));
    let readable = guest.clone();
    let fd = guest.borrow().base.as_raw_fd();
    glib::source::unix_fd_add_local(fd, IOCondition::IN, move |_, _| {
        take_turn(&readable);
        ControlFlow::Continue
    });
    let outside = guest.clone();
    glib::source::timeout_add_local_once(Duration::from_millis(3), move || {
        let added = embedding::add_outside(&mut outside.borrow_mut().base);
        outside.borrow_mut().failure = added.err().map(Into::into);
        prepare(&outside);
    });
    let late = guest.clone();
    glib::source::timeout_add_local_once(TEST_TIMEOUT, move || {
        late.borrow_mut().failure = Some("the run takes too long".into());
        late.borrow().main_loop.quit();
    });
    prepare(&guest);
    main_loop.run();
    finish(&guest, thread)
}

fn finish(guest: &Rc<RefCell<Guest>>, thread: Poster) -> Result<(), Box<dyn Error>> {
    let mut guest = guest.borrow_mut();
    if let Some(failure) = guest.failure.take() {
        return Err(failure);
    }
    thread.join().expect("the thread does not panic")?;
    Ok(embedding::check(&guest.app)?)
}

fn take_turn(shared: &Rc<RefCell<Guest>>) {
    let mut guest = shared.borrow_mut();
    let Guest { base, app, .. } = &mut *guest;
    match base.turn(app) {
        Ok(turn) if turn.end.is_none() => {
            drop(guest);
            prepare(shared);
        }
        ended => {
            guest.failure = ended.err().map(Into::into);
            guest.main_loop.quit();
        }
    }
}

/// Before the main loop waits: replaces the source that ends its wait.
fn prepare(shared: &Rc<RefCell<Guest>>) {
    let mut guest = shared.borrow_mut();
    let next_wait = guest.base.next_wait();
    if let Some(timeout) = guest.timeout.take() {
        timeout.remove();
    }
    guest.timeout = next_wait.map(|wait| {
        let due = shared.clone();
        // GLib counts in milliseconds. A wait that ends early would make a turn for nothing.
        let wait = Duration::from_millis(wait.as_nanos().div_ceil(1_000_000) as u64);
        glib::source::timeout_add_local_once(wait, move || {
            due.borrow_mut().timeout = None;
            take_turn(&due);
        })
    });
}
