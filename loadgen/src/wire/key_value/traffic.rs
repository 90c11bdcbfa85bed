//! What all connections of a run share: commands, keys, values, versions.

use std::sync::Arc;

use super::super::order::{Chooser, Order, Turn};
use super::super::sizes::Sizes;
use super::super::spec::{Protocol, Verify};
use super::command_file::{CommandFile, FileCommand, Words};
use super::distribution::KeySampler;
use super::mix::Verb;
use super::request::Request;
use super::spec::{Commands, KeyPrefix, KeyValueSpec};
use super::template::{Dialect, Template, key_digits};
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
    /// Any value, or none.
    Read,
    /// Anything but an error.
    Any,
}

/// Commands of Redis that read one value, and return null if there is none.
const READS: [&str; 6] = ["get", "getdel", "getex", "hget", "lindex", "zscore"];

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
    /// The number of its name.
    pub(super) name: u16,
}

impl Command {
    /// A command of a file.
    fn of_file(command: &FileCommand, file: &CommandFile, of: (Dialect, &KeyPrefix)) -> Self {
        let (dialect, prefix) = of;
        let template = match &command.words {
            Words::Typed(words) => Template::of_words(words, dialect, prefix),
            Words::Literal(bytes) => Template::literal(bytes),
        };
        let name = &*file.names()[usize::from(command.name)];
        let meaning = match dialect {
            Dialect::Resp if READS.contains(&name) => Meaning::Read,
            _ => Meaning::Any,
        };
        Self { template, meaning, name: command.name }
    }
}

/// What all connections of a run share.
#[derive(Debug)]
pub(crate) struct KeyValueTraffic {
    pub(super) dialect: Dialect,
    /// The commands of the mix or the file, and then the write of the preload.
    pub(super) commands: Vec<Command>,
    /// Chooses among the commands of the mix, or the lines of the file.
    chooser: Chooser,
    /// The file, which has the command of each line; nothing with a mix.
    file: Option<Arc<CommandFile>>,
    pub(super) values: Values,
    /// Nothing if values are not compared.
    pub(super) versions: Option<Versions>,
    keys: KeySampler,
    prefix: KeyPrefix,
    connections: u32,
    sizes: Sizes,
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
        let of_verb = |verb: Verb, name: u16| {
            let template = Template::of_verb(verb, dialect, &spec.prefix);
            Command { template, meaning: verb.into(), name }
        };
        let (mut commands, chooser, file): (Vec<Command>, _, _) = match &spec.commands {
            Commands::Mix(mix) => {
                let weights: Vec<u32> = mix.iter().map(|(_, weight)| weight).collect();
                let weight = |number: u32| weights[number as usize];
                let chooser = Chooser::new(Order::Weighted, weights.len() as u32, 1, weight);
                let verbs = (0..).zip(mix.iter());
                (verbs.map(|(name, (verb, _))| of_verb(verb, name)).collect(), chooser, None)
            }
            Commands::File { file, order } => {
                let weight = |line: u32| file.weight_of(line);
                let chooser = Chooser::new(*order, file.count() as u32, 1, weight);
                let of_file = |command| Command::of_file(command, file, (dialect, &spec.prefix));
                (file.commands().iter().map(of_file).collect(), chooser, Some(Arc::clone(file)))
            }
        };
        commands.push(of_verb(Verb::Set, 0));
        Self {
            dialect,
            commands,
            chooser,
            file,
            values: Values::new(seed),
            versions: (verify == Verify::Full).then(|| Versions::new(spec.keys.get())),
            keys: KeySampler::new(spec.distribution, spec.keys.get(), spec.connections),
            prefix: spec.prefix.clone(),
            connections: spec.connections,
            sizes: sizes.clone(),
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
        let turn = Turn { connection: draws.connection, number, connections: self.connections };
        let chosen = self.chooser.choose(turn, draws.commands);
        let number_of_command = self.file.as_ref().map_or(chosen, |file| file.command_of(chosen));
        let command = &self.commands[number_of_command as usize];
        let key = self.keys.key(draws.keys, draws.connection, number);
        let has_value = command.template.has_value();
        let size = if has_value { self.size(draws.sizes, number) } else { 0 };
        let (version, settled) = match (&self.versions, command.meaning) {
            (None, _) => (0, 0),
            (Some(versions), Meaning::Set) => {
                let claim = versions.claim(key);
                (claim.version, claim.settled)
            }
            (Some(versions), _) => (versions.floor(key), 0),
        };
        Request { number, command: number_of_command, key, size, version, settled }
    }

    /// Makes request `number` of a preload, which writes key number `key`.
    pub(super) fn make_preload(&self, number: u64, key: u32) -> Request {
        let size = self.size(random::key(self.seed, PRELOADED_SIZES), key.into());
        let claim = self.versions.as_ref().map(|versions| versions.claim(key));
        let (version, settled) = claim.map_or((0, 0), |claim| (claim.version, claim.settled));
        Request { number, command: (self.commands.len() - 1) as u32, key, size, version, settled }
    }

    fn size(&self, stream: u64, number: u64) -> u32 {
        let size = u32::try_from(self.sizes.size_of(stream, number)).unwrap_or(u32::MAX);
        size.max(STAMP_BYTES)
    }

    /// The command of a request.
    pub(super) fn command(&self, request: &Request) -> &Command {
        &self.commands[request.command as usize]
    }

    /// Whether `name` is this key.
    pub(super) fn is_key(&self, name: &[u8], key: u32) -> bool {
        name.strip_prefix(self.prefix.as_bytes()) == Some(&key_digits(key))
    }

    /// The key as text.
    pub(super) fn key_name(&self, key: u32) -> String {
        let name = [self.prefix.as_bytes(), &key_digits(key)].concat();
        String::from_utf8_lossy(&name).into_owned()
    }
}
