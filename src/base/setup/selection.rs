//! Selection: chooses a base's backend by its options, the environment and what the kernel allows.

use std::io::Write;

use super::config::Config;
use crate::backend::{Backend, BackendKind};
use crate::base::changelist::ChangelistPolicy;
use crate::base::events::signal::SignalMethod;
use crate::base::timers::clock::ClockKind;
use crate::error::{Error, Result};
use crate::sys::process;

/// A backend that a base does not use, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The backend.
    pub kind: BackendKind,
    /// The option or variable that excluded it, or the kernel's error.
    pub why: String,
}

/// Whether an environment variable is set.
type Environment<'a> = &'a dyn Fn(&str) -> bool;

/// The process's environment, or an empty one where the base must ignore it.
pub(in crate::base) fn environment(config: &Config) -> impl Fn(&str) -> bool + use<> {
    let counts = config.reads_environment && !process::is_privileged_for_caller();
    move |name| counts && std::env::var_os(name).is_some()
}

/// The configuration with the changes that the environment makes.
pub(in crate::base) fn with_environment(mut config: Config, is_set: Environment) -> Config {
    if is_set("EVENT_EPOLL_USE_CHANGELIST") {
        config.changelist = ChangelistPolicy::Deferred;
    }
    if is_set("EVENT_PRECISE_TIMER") {
        config.clock = ClockKind::Precise;
    }
    if is_set("EVENT_USE_SIGNALFD") {
        config.signals = SignalMethod::SignalFd;
    }
    config
}

/// The opened backend, and the more preferred backends that are not used.
pub(in crate::base) struct Selected {
    pub(in crate::base) kind: BackendKind,
    pub(in crate::base) backend: Box<dyn Backend>,
    pub(in crate::base) passed_over: Vec<PassedOver>,
}

/// Opens the most preferred backend that is not excluded and that the kernel allows.
pub(in crate::base) fn select(config: &Config, is_set: Environment) -> Result<Selected> {
    let open = |kind: BackendKind| kind.open(config.flush);
    let selected = select_with(config, is_set, open)?;
    if is_set("EVENT_SHOW_METHOD") {
        // If standard error is closed, the line is lost.
        let _ = writeln!(std::io::stderr(), "evshard is waiting with {}", selected.kind.name());
    }
    Ok(selected)
}

fn select_with(
    config: &Config,
    is_set: Environment,
    open: impl Fn(BackendKind) -> Result<Box<dyn Backend>>,
) -> Result<Selected> {
    let mut passed_over = Vec::new();
    let preferred = config.choice.preferred;
    let others = BackendKind::ALL.iter().copied().filter(|kind| Some(*kind) != preferred);
    for kind in preferred.into_iter().chain(others) {
        let opened = match objection(config, is_set, kind) {
            None => open(kind).map_err(|error| error.to_string()),
            Some(why) => Err(why),
        };
        match opened {
            Ok(backend) => return Ok(Selected { kind, backend, passed_over }),
            Err(why) => passed_over.push(PassedOver { kind, why }),
        }
    }
    let list = passed_over.iter().map(|PassedOver { kind, why }| (kind.name(), why.clone()));
    Err(Error::NoBackend { passed_over: list.collect() })
}

/// The option or variable that excludes a backend, if there is one.
fn objection(config: &Config, is_set: Environment, kind: BackendKind) -> Option<String> {
    let choice = &config.choice;
    let index = BackendKind::ALL.iter().position(|other| *other == kind)?;
    let variable = format!("EVENT_NO{}", kind.name().to_uppercase());
    let missing = choice.required - kind.features();
    if let Some(only) = choice.only.filter(|only| *only != kind) {
        Some(format!("the configuration allows only {}", only.name()))
    } else if choice.avoided[index] {
        Some("the configuration avoids it".to_owned())
    } else if is_set(&variable) {
        Some(format!("the environment variable {variable} is set"))
    } else if !missing.is_empty() {
        Some(format!("it lacks {missing:?}, which the configuration requires"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Features;
    use crate::backend::tests::scripted::ScriptedBackend;

    fn scripted(_: BackendKind) -> Result<Box<dyn Backend>> {
        Ok(Box::new(ScriptedBackend::default()))
    }

    /// The kind chosen, with only these variables set.
    fn chosen(config: Config, set: &[&str]) -> std::result::Result<BackendKind, String> {
        let is_set = |name: &str| set.contains(&name);
        let selected = select_with(&config, &is_set, scripted);
        selected.map(|selected| selected.kind).map_err(|error| error.to_string())
    }

    #[test]
    fn the_order_of_preference_decides_among_the_allowed_backends() {
        let config = Config::default();
        assert_eq!(chosen(config, &[]), Ok(BackendKind::Epoll));
        assert_eq!(chosen(config.avoid(BackendKind::Epoll), &[]), Ok(BackendKind::IoUring));
        assert_eq!(chosen(config, &["EVENT_NOEPOLL", "EVENT_NOIO_URING"]), Ok(BackendKind::Poll));
        let any_file = config.require_features(Features::FDS).avoid(BackendKind::IoUring);
        assert_eq!(chosen(any_file, &[]), Ok(BackendKind::Poll));
        assert_eq!(chosen(any_file, &["EVENT_NOPOLL"]), Ok(BackendKind::Select));
        assert_eq!(chosen(config.prefer(BackendKind::Select), &[]), Ok(BackendKind::Select));
        assert_eq!(chosen(config.backend(BackendKind::Poll), &[]), Ok(BackendKind::Poll));
    }

    #[test]
    fn no_backend_left_is_an_error_with_a_reason_for_each() {
        let config = Config::default()
            .avoid(BackendKind::IoUring)
            .require_features(Features::EDGE | Features::O1);
        let message = chosen(config, &["EVENT_NOEPOLL"]).unwrap_err();
        for part in [
            "epoll: the environment variable EVENT_NOEPOLL is set",
            "io_uring: the configuration avoids it",
            "poll: it lacks Features(EDGE | O1)",
            "select: it lacks",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let only = chosen(Config::default().backend(BackendKind::Select), &["EVENT_NOSELECT"]);
        let message = only.unwrap_err();
        assert!(message.contains("epoll: the configuration allows only select"), "{message}");
    }

    #[test]
    fn a_backend_that_the_kernel_refuses_is_passed_over_with_its_reason() {
        let refusing = |kind: BackendKind| match kind {
            BackendKind::IoUring => {
                Err(Error::os("io_uring_setup")(std::io::Error::from_raw_os_error(libc::EPERM)))
            }
            _ => scripted(kind),
        };
        let config = Config::default().prefer(BackendKind::IoUring);
        let selected = select_with(&config, &|_| false, refusing).unwrap();
        assert_eq!(selected.kind, BackendKind::Epoll);
        let [PassedOver { kind: BackendKind::IoUring, why }] = &selected.passed_over[..] else {
            panic!("{:?}", selected.passed_over)
        };
        assert!(why.contains("io_uring_setup") && why.contains("not permitted"), "{why}");
    }

    #[test]
    fn the_environment_changes_how_and_not_only_what() {
        let config = Config::default().clock(ClockKind::Coarse);
        let unchanged = with_environment(config, &|_| false);
        assert_eq!(unchanged.clock, ClockKind::Coarse);
        assert_eq!(unchanged.changelist, ChangelistPolicy::Immediate);
        assert_eq!(unchanged.signals, SignalMethod::Handler);
        let changed = with_environment(config, &|_| true);
        assert_eq!(changed.clock, ClockKind::Precise);
        assert_eq!(changed.changelist, ChangelistPolicy::Deferred);
        assert_eq!(changed.signals, SignalMethod::SignalFd);
    }

    #[test]
    fn the_environment_can_be_ignored() {
        assert!(environment(&Config::default())("PATH"));
        assert!(!environment(&Config::default().ignore_environment())("PATH"));
    }
}
