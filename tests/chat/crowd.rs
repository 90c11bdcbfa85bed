//! Thousands of members in rooms over all shards. Some speak, some come and go meanwhile, and every
//! line that each of them sees is checked.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::process::Command;
use std::time::Instant;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use test_needs::Need;

use crate::common::{Program, TEST_TIMEOUT, total};
use crate::member::{CLOSES, COMES_AND_GOES, LISTENS, Member, SPEAKS, Script, Source};
use crate::server::ExampleServer;

/// How many members of a room have each script.
const SCRIPTS: [(Script, usize); 4] =
    [(SPEAKS, 2), (COMES_AND_GOES, 2), (CLOSES, 1), (LISTENS, 25)];
const ROOM: usize = 30;

/// All members, and the loop that serves them.
struct Crowd {
    members: Vec<Member>,
    /// The members by their numbers as guests.
    guests: HashMap<u64, usize>,
    epoll: std::os::fd::OwnedFd,
    /// What happens in this phase when a member has seen its last step.
    goes_on: bool,
    /// How many members have joined.
    joined: usize,
    /// How many members have not seen the end of another one's script, though they will.
    unfinished: usize,
    ended: usize,
}

impl Crowd {
    /// Connects the members of these rooms, in which no others are.
    fn connect(address: SocketAddr, rooms: Range<usize>) -> Self {
        let epoll = epoll::create(CreateFlags::CLOEXEC).expect("epoll");
        let scripts = SCRIPTS.iter().flat_map(|&(script, count)| vec![script; count]);
        let all = rooms.clone().flat_map(|room| scripts.clone().map(move |script| (room, script)));
        let mut members = Vec::new();
        for (room, script) in all {
            let stream = TcpStream::connect(address).expect("connect");
            stream.set_nonblocking(true).expect("every socket can be non-blocking");
            let data = EventData::new_u64(members.len() as u64);
            epoll::add(&epoll, &stream, data, EventFlags::IN).expect("watch it");
            members.push(Member::new(stream, room, script, ROOM));
        }
        let stay = SCRIPTS.iter().filter(|(script, _)| [SPEAKS, LISTENS].contains(script));
        let do_more = SCRIPTS.iter().filter(|(script, _)| script.len() > 1);
        let count = |(_, count): &(Script, usize)| *count;
        let unfinished =
            rooms.len() * stay.map(count).sum::<usize>() * do_more.map(count).sum::<usize>();
        Self {
            members,
            guests: HashMap::new(),
            epoll,
            goes_on: false,
            joined: 0,
            unfinished,
            ended: 0,
        }
    }

    /// Serves the members until a condition holds.
    fn serve_until(&mut self, what: &str, is_reached: impl Fn(&Self) -> bool) {
        let tick = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        let mut ready = Vec::with_capacity(1024);
        let deadline = Instant::now() + TEST_TIMEOUT;
        while !is_reached(self) {
            assert!(Instant::now() < deadline, "never came true: {what}: {self:?}");
            ready.clear();
            let events = rustix::buffer::spare_capacity(&mut ready);
            match epoll::wait(&self.epoll, events, Some(&tick)) {
                Err(rustix::io::Errno::INTR) => {}
                result => drop(result.expect("wait")),
            }
            ready.iter().for_each(|event| self.serve(event.data.u64() as usize));
        }
    }

    fn serve(&mut self, member: usize) {
        if self.members[member].stream.is_none() {
            return;
        }
        let (lines, has_ended) = self.members[member].read();
        for line in lines {
            self.see(member, &line);
        }
        if has_ended {
            self.members[member].stream = None;
            self.ended += 1;
        }
    }

    fn see(&mut self, member: usize, line: &str) {
        if let Some(guest) = line.strip_prefix("you are guest ") {
            let guest = guest.parse().expect("a number");
            self.members[member].guest = guest;
            assert_eq!(self.guests.insert(guest, member), None, "{guest} is the number of two");
        } else if line == "you left" {
            self.members[member].left();
            self.next_step(member);
        } else if line != "* the server drains" {
            self.see_another(member, line);
        }
    }

    /// A line of a room, which names its source.
    fn see_another(&mut self, member: usize, line: &str) {
        let guest = line.trim_start_matches("* ").strip_prefix("guest ").expect("it names a guest");
        let guest = guest.split([' ', ':']).next().and_then(|number| number.parse().ok());
        let source = guest.and_then(|guest| self.guests.get(&guest).copied());
        let source = source.unwrap_or_else(|| panic!("who is this? {line}"));
        let of: Source = self.members[source].source();
        let seen = self.members[member].see(source % ROOM, of, line);
        if source == member {
            self.joined += usize::from(seen == 1);
            self.next_step(member);
        }
        let is_last = seen == of.script.len() && seen > 1;
        self.unfinished -= usize::from(is_last && self.members[member].stays());
    }

    fn next_step(&mut self, member: usize) {
        self.members[member].step += 1;
        if self.goes_on {
            self.members[member].take_step();
        }
    }

    /// Whether of each two members that stay the first to join has seen the other one join.
    fn all_saw_each_other(&self) -> bool {
        self.members.chunks(ROOM).all(|room| {
            let stays = |index: &usize| room[*index].stays();
            (0..ROOM)
                .filter(stays)
                .all(|a| (0..a).filter(stays).all(|b| room[a].has_seen(b) || room[b].has_seen(a)))
        })
    }
}

impl std::fmt::Debug for Crowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { joined, unfinished, ended, .. } = self;
        write!(f, "{joined} joined, {unfinished} ends of scripts are not seen, {ended} ended")
    }
}

/// The phases.
impl Crowd {
    /// The members join, speak, come and go, and see all of that.
    fn live(&mut self) {
        let count = self.members.len();
        self.serve_until("each has a number", |crowd| crowd.guests.len() == count);
        self.members.iter_mut().for_each(Member::take_step);
        self.serve_until("each has joined", |crowd| crowd.joined == count);
        self.goes_on = true;
        self.members.iter_mut().for_each(Member::take_step);
        self.serve_until("those that stay have seen all", |crowd| {
            crowd.unfinished == 0 && crowd.all_saw_each_other()
        });
        self.serve_until("those that close are closed", |crowd| crowd.ended == count / ROOM);
    }

    /// The server drains.
    fn end(&mut self) {
        let count = self.members.len();
        self.serve_until("the server ends all", |crowd| crowd.ended == count);
    }
}

/// For a client process: the server's address.
const ADDRESS: &str = "EVSHARD_TEST_CHAT_ADDRESS";
/// How many rooms each client process has.
const ROOMS: usize = 167;
const PROCESSES: usize = 2;

#[test]
#[ignore = "a client process of the next test"]
fn a_client_process() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    if test_needs::missing(Need::Descriptors((ROOMS * ROOM) as u64 + 1_000)) {
        return;
    }
    let mut crowd = Crowd::connect(address.parse().expect("an address"), ROOMS..2 * ROOMS);
    crowd.live();
    println!("\nall is seen");
    crowd.end();
    println!("\nall have ended");
}

/// Waits until the client process has printed a line.
fn wait_for(client: &Program, line: &str) {
    let mut printed = Vec::new();
    while printed.last().is_none_or(|last| last != line) {
        match client.lines.recv_timeout(TEST_TIMEOUT) {
            Ok(line) => printed.push(line),
            Err(error) => panic!("{line} was never printed: {error}: {printed:?}"),
        }
    }
}

/// This process and another one have the members of half of the rooms each. Every line that any of
/// them gets is compared.
#[test]
fn every_byte_reaches_every_member_of_ten_thousand_in_two_processes_while_some_come_and_go() {
    let count = (PROCESSES * ROOMS * ROOM) as u64;
    if test_needs::missing(Need::Descriptors(count + 1_000)) {
        return;
    }
    let server = ExampleServer::start("chat_rooms", &[]);
    let mut command = Command::new(std::env::current_exe().expect("a test program has a path"));
    command.args(["--ignored", "--exact", "--nocapture", "crowd::a_client_process"]);
    let client = Program::start(command.env(ADDRESS, server.address.to_string()));
    let mut crowd = Crowd::connect(server.address, 0..ROOMS);
    crowd.live();
    wait_for(&client, "all is seen");
    server.interrupt();
    crowd.end();
    wait_for(&client, "all have ended");
    let table = server.table();
    assert_eq!((total(&table, "connections"), total(&table, "errors")), (count, 0));
}
