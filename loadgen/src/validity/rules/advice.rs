//! What a user can still do about a loader that is late or busy.

use super::super::Evidence;
use crate::options::Pacing;

/// Something that may help the loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    MoreThreads,
    OwnProcessors,
    Pacing,
    LowerRate,
    OtherMachine,
}

impl Remedy {
    /// The remedy in words; nothing if it cannot help, or was used already.
    fn text(self, evidence: &Evidence<'_>) -> Option<&'static str> {
        let args = evidence.args;
        match self {
            Self::MoreThreads => {
                let possible = evidence.env.cpus.unwrap_or(usize::MAX);
                let is_possible =
                    args.threads < args.connections && (args.threads as usize) < possible;
                is_possible.then_some("more threads (-t)")
            }
            Self::OwnProcessors => args.pin.is_none().then_some("processors of its own (--pin)"),
            Self::Pacing if !args.is_open() => None,
            Self::Pacing => match args.pacing.value() {
                Some(Pacing::Hybrid) => Some("--pacing spin"),
                Some(Pacing::Spin) => None,
                _ => Some("--pacing hybrid"),
            },
            Self::LowerRate if evidence.is_timed() => Some("a lower --speed"),
            Self::LowerRate => args.is_open().then_some("a lower --rate"),
            Self::OtherMachine => Some("another machine"),
        }
    }
}

/// The remedies that the plan has not used yet: "a, b or c".
pub(super) fn untried(evidence: &Evidence<'_>, remedies: &[Remedy]) -> String {
    let texts = || remedies.iter().filter_map(|remedy| remedy.text(evidence));
    let texts: Vec<&str> = match texts().count() {
        0 => Remedy::OtherMachine.text(evidence).into_iter().collect(),
        _ => texts().collect(),
    };
    match texts.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
