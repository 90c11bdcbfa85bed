//! What all connections of a run share: commands, keys, values, versions.

use super::super::sizes::Sizes;
use super::super::spec::{Protocol, Verify};
use super::command_file::FileCommand;
use super::distribution::KeySampler;
use super::mix::Verb;
use super::request::Request;
use super::spec::{Commands, KeyValueSpec};
use super::template::{Dialect, Template};
use super::value::{STAMP_BYTES, Values};
use super::versions::Versions;
use crate::schedule::random;

/// Parts of a seed from which the commands, the keys and the sizes are drawn.
const COMMANDS: u64 = 6 << 40;
const KEYS: u64 = 7 << 40;
const SIZES: u64 = 8 << 40;
const PRELOADED_SIZES: u64 = 10 << 40;

/// What the replies of a command mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A value, or none.
    Get,
    /// The acknowledgement of a write.
    Set,
    Delete,
    /// Anything but an error.
    Any,
}

impl From<Verb> for Meaning {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Get => Self::Get,
            Verb::Set => Self::Set,
            Verb::Delete => Self::Delete,
        }
    }
}

/// One command of the run.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) template: Template,
    pub(super) meaning: Meaning,
    /// The sum of the weights up to this command.
    up_to: u64,
}

/// What all connections of a run share.
#[derive(Debug)]
pub(crate) struct KeyValueTraffic {
    pub(super) dialect: Dialect,
    /// The commands of the mix, and then the write of the preload.
    pub(super) commands: Vec<Command>,
    pub(super) values: Values,
    /// Nothing if values are not compared.
    pub(super) versions: Option<Versions>,
    keys: KeySampler,
    sizes: Sizes,
    total_weight: u64,
    seed: u64,
}

/// From what the requests of a connection are drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draws {
    connection: u32,
    commands: u64,
    keys: u64,
    sizes: u64,
}

impl KeyValueTraffic {
    /// The traffic of a run.
    pub(in crate::wire) fn new(
        spec: &KeyValueSpec,
        protocol: Protocol,
        sizes: &Sizes,
        verify: Verify,
        seed: u64,
    ) -> Self {
        let dialect = match protocol {
            Protocol::MemcachedText => Dialect::Text,
            Protocol::MemcachedMeta => Dialect::Meta,
            _ => Dialect::Resp,
        };
        let mut total_weight = 0;
        let mut command = |template: Template, meaning: Meaning, weight: u32| {
            total_weight += u64::from(weight);
            Command { template, meaning, up_to: total_weight }
        };
        let of_verb = |verb: Verb| Template::of_verb(verb, dialect, &spec.prefix);
        let mut commands: Vec<Command> = match &spec.commands {
            Commands::Mix(mix) => mix
                .iter()
                .map(|(verb, weight)| command(of_verb(verb), verb.into(), weight))
                .collect(),
            Commands::File(file) => {
                let of_line = |line: &FileCommand| {
                    let template = Template::of_words(&line.words, dialect, &spec.prefix);
                    command(template, Meaning::Any, line.weight)
                };
                file.commands().iter().map(of_line).collect()
            }
        };
        commands.push(command(of_verb(Verb::Set), Meaning::Set, 0));
        Self {
            dialect,
            commands,
            values: Values::new(seed),
            versions: (verify == Verify::Full).then(|| Versions::new(spec.keys.get())),
            keys: KeySampler::new(spec.distribution, spec.keys.get(), spec.connections),
            sizes: sizes.clone(),
            total_weight,
            seed,
        }
    }

    /// From what the requests of a connection are drawn.
    pub(super) fn draws(&self, connection: u32) -> Draws {
        let key = |part: u64| random::key(self.seed, part + u64::from(connection));
        Draws { connection, commands: key(COMMANDS), keys: key(KEYS), sizes: key(SIZES) }
    }

    /// Makes request `number` of a connection: a write gets its version, and a read remembers which
    /// versions it may return.
    pub(super) fn make(&self, draws: &Draws, number: u64) -> Request {
        let place = below(self.total_weight, random::at(draws.commands, number));
        let command = self.commands.partition_point(|command| command.up_to <= place);
        let key = self.keys.key(draws.keys, draws.connection, number);
        let has_value = self.commands[command].template.has_value();
        let size = if has_value { self.size(draws.sizes, number) } else { 0 };
        let (version, settled) = match (&self.versions, self.commands[command].meaning) {
            (None, _) => (0, 0),
            (Some(versions), Meaning::Set) => {
                let claim = versions.claim(key);
                (claim.version, claim.settled)
            }
            (Some(versions), _) => (versions.floor(key), 0),
        };
        Request { number, command: command as u16, key, size, version, settled }
    }

    /// Makes request `number` of a preload, which writes key number `key`.
    pub(super) fn make_preload(&self, number: u64, key: u32) -> Request {
        let size = self.size(random::key(self.seed, PRELOADED_SIZES), key.into());
        let claim = self.versions.as_ref().map(|versions| versions.claim(key));
        let (version, settled) = claim.map_or((0, 0), |claim| (claim.version, claim.settled));
        Request { number, command: (self.commands.len() - 1) as u16, key, size, version, settled }
    }

    fn size(&self, stream: u64, number: u64) -> u32 {
        let size = u32::try_from(self.sizes.size_of(stream, number)).unwrap_or(u32::MAX);
        size.max(STAMP_BYTES)
    }

    /// The command of a request.
    pub(super) fn command(&self, request: &Request) -> &Command {
        &self.commands[usize::from(request.command)]
    }
}

/// A uniform choice from `0..bound` by a random number.
fn below(bound: u64, number: u64) -> u64 {
    ((u128::from(number) * u128::from(bound)) >> 64) as u64
}
