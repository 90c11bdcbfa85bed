//! A base on a scripted backend whose context holds its events, so that handlers can act on others.

use super::*;

/// The context: a log, and the events by their token.
#[derive(Debug, Default)]
pub(super) struct App {
    pub(super) fired: Log,
    /// An event's index is its token.
    pub(super) ids: Vec<EventId>,
}

pub(super) struct ScriptedApp {
    pub(super) base: EventBase<App>,
    pub(super) script: ScriptedBackend,
    pub(super) app: App,
}

/// A handler that only logs its call.
pub(super) fn note(_: &mut Registry<App>, app: &mut App, fired: Fired) {
    app.fired.push((fired.token.0, fired.ready));
}

impl ScriptedApp {
    pub(super) fn new(config: Config) -> Self {
        let script = ScriptedBackend::default();
        let base = EventBase::with_backend(&config, selected(script.clone())).unwrap();
        Self { base, script, app: App::default() }
    }

    pub(super) fn registry(&mut self) -> &mut Registry<App> {
        self.base.registry()
    }

    /// Makes an event, whose token is how many there were before.
    pub(super) fn event(&mut self, spec: EventSpec, handler: Handler<App>) -> EventId {
        let token = Token(self.app.ids.len() as u64);
        let id = self.registry().create(spec.token(token), handler);
        self.app.ids.push(id);
        id
    }

    /// An event without a source, of this priority.
    pub(super) fn user(&mut self, priority: u8, handler: Handler<App>) -> EventId {
        let id = self.event(EventSpec::timer(), handler);
        self.registry().set_priority(id, priority).unwrap();
        id
    }

    /// A persistent reader of this priority, pending.
    pub(super) fn reader(&mut self, fd: i32, priority: u8, handler: Handler<App>) -> EventId {
        let id = self.event(EventSpec::io(&fd, READ).persist(), handler);
        self.registry().set_priority(id, priority).unwrap();
        self.registry().add(id, None).unwrap();
        id
    }

    /// A timer that is due at once, or later.
    pub(super) fn timer(&mut self, timeout: Duration, handler: Handler<App>) -> EventId {
        let id = self.event(EventSpec::timer(), handler);
        self.registry().add(id, Some(timeout)).unwrap();
        id
    }

    pub(super) fn activate(&mut self, ids: &[EventId]) {
        for id in ids {
            self.registry().activate(*id, Ready::WRITE).unwrap();
        }
    }

    /// What the next waits report, one after the other: descriptors that are readable.
    pub(super) fn report(&mut self, waits: &[&[i32]]) {
        let readable = |fd: &i32| FdReady { fd: *fd, ready: Ready::READ };
        let waits = waits.iter().map(|fds| fds.iter().map(readable).collect());
        self.script.0.lock().unwrap().waits.extend(waits);
    }

    /// How the next waits end, one after the other.
    pub(super) fn end_waits(&mut self, ends: &[Result<Reported, i32>]) {
        self.script.0.lock().unwrap().ends.extend(ends);
    }

    pub(super) fn run(&mut self, flags: LoopFlags) -> LoopEnd {
        let ended = self.base.run_with(&mut self.app, flags).unwrap();
        self.registry().check();
        ended
    }

    /// Runs what is ready, and returns the tokens that fired.
    pub(super) fn drain(&mut self) -> Vec<u64> {
        self.run(LoopFlags::NONBLOCK);
        self.tokens()
    }

    /// The tokens that fired since the last call.
    pub(super) fn tokens(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.app.fired).into_iter().map(|(token, _)| token).collect()
    }

    /// The timeouts of the waits since the last call.
    pub(super) fn waits(&mut self) -> Vec<Option<Duration>> {
        std::mem::take(&mut self.script.0.lock().unwrap().timeouts)
    }
}
