//! A member of the crowd: what it says, and what it must see.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::common::noise;

/// A line that the server says to a room because of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Join,
    Say,
    Leave,
    /// The member ends its stream.
    Close,
}

use Step::{Close, Join, Leave, Say};

/// What a member does, step by step. It takes the next step when it has seen the last one.
pub(crate) type Script = &'static [Step];

pub(crate) const LISTENS: Script = &[Join];
pub(crate) const SPEAKS: Script = &[Join, Say, Say, Say, Say, Say, Say, Say, Say];
pub(crate) const COMES_AND_GOES: Script = &[Join, Say, Leave, Join, Say, Leave, Join, Say];
pub(crate) const CLOSES: Script = &[Join, Say, Say, Close];

/// What a member has seen of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing since it joined.
    Nothing,
    /// All steps before this one, from some step on.
    Until(usize),
}

/// A member of a room.
pub(crate) struct Member {
    /// `None` once the server has ended it.
    pub(crate) stream: Option<TcpStream>,
    pub(crate) guest: u64,
    pub(crate) room: usize,
    pub(crate) script: Script,
    /// The step of the script that it waits to see.
    pub(crate) step: usize,
    /// Whether it has left, so that it misses what is said.
    has_left: bool,
    is_outside: bool,
    /// By index in the room.
    seen: Vec<Seen>,
    input: Vec<u8>,
}

/// What others know of a member.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) guest: u64,
    pub(crate) room: usize,
    pub(crate) script: Script,
}

impl Source {
    /// The line that the room sees of a step.
    pub(crate) fn line(self, step: usize) -> String {
        let Self { guest, room, .. } = self;
        match self.script[step] {
            Join => format!("* guest {guest} joined {room}"),
            Say => format!("guest {guest}: {}", words(guest, step)),
            Leave | Close => format!("* guest {guest} left {room}"),
        }
    }
}

/// What a guest says in a step: up to 100 letters that look random.
fn words(guest: u64, step: usize) -> String {
    let seed = guest * 16 + step as u64;
    let letters = noise(seed, 1 + (seed % 100) as usize).into_iter();
    letters.map(|byte| char::from(b'a' + byte % 26)).collect()
}

impl Member {
    pub(crate) fn new(stream: TcpStream, room: usize, script: Script, members: usize) -> Self {
        Self {
            stream: Some(stream),
            guest: 0,
            room,
            script,
            step: 0,
            has_left: false,
            is_outside: true,
            seen: vec![Seen::Nothing; members],
            input: Vec::new(),
        }
    }

    pub(crate) fn source(&self) -> Source {
        Source { guest: self.guest, room: self.room, script: self.script }
    }

    /// Whether it is in its room from its first step to the end.
    pub(crate) fn stays(&self) -> bool {
        !self.script.contains(&Leave) && !self.script.contains(&Close)
    }

    /// Takes the step that it then waits to see, if there is one.
    pub(crate) fn take_step(&mut self) {
        let request = match self.script.get(self.step) {
            Some(Join) => format!("JOIN {}\n", self.room),
            Some(Say) => words(self.guest, self.step) + "\n",
            Some(Leave) => "LEAVE\n".to_owned(),
            Some(Close) => String::new(),
            None => return,
        };
        self.is_outside = false;
        let stream = self.stream.as_mut().expect("it is open");
        stream.write_all(request.as_bytes()).expect("send");
        if request.is_empty() {
            // The server sends the last lines, and ends its stream, too.
            stream.shutdown(Shutdown::Write).expect("end the stream");
        }
    }

    /// Reads what has arrived; returns its lines and whether the stream has ended.
    pub(crate) fn read(&mut self) -> (Vec<String>, bool) {
        let mut bytes = [0; 16 << 10];
        let stream = self.stream.as_mut().expect("it is open");
        let length = match stream.read(&mut bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return (Vec::new(), false);
            }
            result => result.unwrap_or_else(|error| panic!("guest {}: {error}", self.guest)),
        };
        self.input.extend_from_slice(&bytes[..length]);
        let end = self.input.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let whole = self.input.drain(..end).collect();
        let whole = String::from_utf8(whole).expect("all that was sent is UTF-8");
        (whole.lines().map(str::to_owned).collect(), length == 0)
    }

    /// It has left: it misses what the others do now.
    pub(crate) fn left(&mut self) {
        assert_eq!(self.script[self.step], Leave, "guest {} did not leave", self.guest);
        (self.has_left, self.is_outside) = (true, true);
        self.seen.fill(Seen::Nothing);
    }

    /// Checks a line of the member with this index; returns how many steps of it have been seen.
    pub(crate) fn see(&mut self, index: usize, of: Source, line: &str) -> usize {
        assert!(!self.is_outside, "guest {} is in no room: {line}", self.guest);
        assert_eq!(self.room, of.room, "guest {} is in another room: {line}", self.guest);
        let step = match self.seen[index] {
            Seen::Until(step) => step,
            Seen::Nothing if of.guest == self.guest => self.step,
            Seen::Nothing => {
                let mut steps = (0..of.script.len()).filter(|&step| of.line(step) == line);
                let step = steps.next().unwrap_or_else(|| panic!("no one said {line}"));
                // It may be any of several equal lines. A line that is unlike all others will show.
                if self.has_left && steps.next().is_some() {
                    return 0;
                }
                step
            }
        };
        assert!(step < of.script.len(), "guest {} said all, and then {line}", of.guest);
        assert_eq!(line, of.line(step), "guest {} misses a line before it", self.guest);
        self.seen[index] = Seen::Until(step + 1);
        step + 1
    }

    pub(crate) fn has_seen(&self, index: usize) -> bool {
        self.seen[index] != Seen::Nothing
    }
}
