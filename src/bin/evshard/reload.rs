//! Reloads the configuration file of a running server: applies what can change, and reports each
//! key.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::sync::mpsc::{self, SyncSender, TrySendError};

use evshard::server::ReloadRequest;

use super::config_file::{Configuration, Origin, Refusal, Setting, Settings};
use super::output_queue::start_thread;

/// Keys that a running server can change. The others need a restart or an upgrade.
const CHANGEABLE: &[&str] = &[
    "max-connections",
    "overload",
    "first-byte-timeout",
    "idle-timeout",
    "message-timeout",
    "buffer",
    "memory-limit",
    "drain-timeout",
    "drain-delay",
    "drain-spread",
    "tls-cert",
    "tls-key",
    "tls-client-ca",
    "tls-min-version",
    "tls-handshake-timeout",
    "slow-callback",
    "log-format",
    "log-level",
];

/// Keys that name files which are read again, also if the names are the same.
const FILES: &[&str] = &["tls-cert", "tls-key", "tls-client-ca"];

/// Reloads that wait for an earlier one: as many as the admin has connections.
const WAITING_MAX: usize = 32;

/// What a reload has read.
pub(crate) type Read = Result<Configuration, Refusal>;

/// Reads the file on a thread of its own, because a disk or the look-up of a host may take long.
#[derive(Clone)]
pub(crate) struct Reloader(SyncSender<Option<ReloadRequest>>);

impl Reloader {
    /// Starts the thread. It passes each configuration of these arguments to `apply`, with the
    /// request of an operator if there is one.
    pub(crate) fn start(
        arguments: Vec<OsString>,
        mut apply: impl FnMut(Read, Option<ReloadRequest>) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, requests) = mpsc::sync_channel(WAITING_MAX);
        start_thread("reload", move || {
            requests.iter().for_each(|request| apply(Configuration::again(&arguments), request));
        })?;
        Ok(Self(sender))
    }

    /// Reloads after earlier requests. Does not wait for it.
    pub(crate) fn reload(&self, request: Option<ReloadRequest>) {
        // A signal needs none of its own then: those that wait read the file after it.
        if let Err(TrySendError::Full(Some(request))) = self.0.try_send(request) {
            request.answer(Err(format!("{WAITING_MAX} reloads wait; try again later\n")));
        }
    }
}

/// What a reload did, key by key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    lines: Vec<String>,
    pub(crate) applied: Vec<String>,
    pub(crate) read_again: Vec<String>,
    pub(crate) need_restart: Vec<String>,
}

impl Report {
    /// Compares the running settings with those that were read, and updates what can change.
    pub(crate) fn update(running: &mut Settings, read: Settings) -> Self {
        let mut report = Self::default();
        // A server begins with TLS or without, and listeners never change.
        let keeps_tls = has_certificate(running) && has_certificate(&read);
        for (running, read) in running.0.iter_mut().zip(read.0) {
            let can_change =
                CHANGEABLE.contains(&&*read.key) && (keeps_tls || !read.key.starts_with("tls-"));
            report.update_one(running, read, can_change);
        }
        report
    }

    fn update_one(&mut self, running: &mut Setting, read: Setting, can_change: bool) {
        let key = read.key.clone();
        let (before, now) = (&running.value, &read.value);
        let is_file = FILES.contains(&&*key);
        if before == now && is_file && !now.is_empty() {
            self.lines.push(format!("{key}: read again"));
            self.read_again.push(key);
        } else if before == now && read.origin == Origin::Flag {
            self.lines.push(format!("{key}: unchanged, a flag sets it to {now}"));
        } else if before == now {
            self.lines.push(format!("{key}: unchanged"));
        } else if can_change {
            self.lines.push(format!("{key}: applied, from {before} to {now}"));
            self.applied.push(key);
            *running = read;
        } else {
            self.lines.push(format!("{key}: needs a restart or an upgrade, to change to {now}"));
            self.need_restart.push(key);
        }
    }
}

fn has_certificate(settings: &Settings) -> bool {
    settings.0.iter().any(|setting| setting.key == "tls-cert" && !setting.value.is_empty())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    fn settings(flags: &[&str]) -> Settings {
        let flags: Vec<OsString> = flags.iter().map(Into::into).collect();
        Configuration::of(&flags).map_err(|refusal| refusal.in_lines()).unwrap().settings
    }

    #[test]
    fn a_pipe_that_was_read_before_set_everything_to_its_default() {
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        let arguments = vec!["--config".into(), path.into()];
        assert!(Configuration::of(&arguments).is_ok(), "it can be read once");
        let (sender, results) = mpsc::channel();
        let reloader = Reloader::start(arguments, move |read, _| {
            let _ = sender.send(read.map(|_| ()).map_err(|refusal| refusal.in_lines()));
        });
        reloader.unwrap().reload(None);
        let error = results.recv().unwrap().unwrap_err();
        assert!(error.contains("no regular file"), "{error}");
    }

    #[test]
    fn each_key_that_can_change_is_a_flag() {
        let settings = settings(&[]);
        for key in CHANGEABLE {
            assert!(settings.0.iter().any(|setting| setting.key == *key), "{key}");
        }
    }

    #[test]
    fn what_needs_a_restart_is_reported_again_by_each_reload() {
        let mut running = settings(&["--workers", "2", "--idle-timeout", "9s"]);
        let read = settings(&["--workers", "3", "--idle-timeout", "8s", "--no-pin"]);
        let report = Report::update(&mut running, read.clone());
        assert_eq!(report.applied, ["idle-timeout"]);
        assert_eq!(report.need_restart, ["workers", "no-pin"]);
        let text = report.to_string();
        for line in [
            "workers: needs a restart or an upgrade, to change to 3",
            "no-pin: needs a restart or an upgrade, to change to true",
            "idle-timeout: applied, from 9s to 8s",
            "max-connections: unchanged",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert_eq!(text.lines().count(), running.0.len());
        let report = Report::update(&mut running, read);
        assert_eq!((report.applied.len(), report.need_restart.len()), (0, 2));
        let text = report.to_string();
        assert!(text.contains("idle-timeout: unchanged, a flag sets it to 8s\n"), "{text}");
    }
}
