//! Which agents have dialled in, and which rank each has.

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::Caller;

/// The ranks that are taken, and the agents that get one of the others.
pub(super) struct Ranks {
    taken: Vec<Option<Caller>>,
    without_rank: Vec<Caller>,
}

impl Ranks {
    pub(super) fn new(agents: u32) -> Self {
        Self { taken: (0..agents).map(|_| None).collect(), without_rank: Vec::new() }
    }

    pub(super) fn count(&self) -> u32 {
        (self.taken.iter().flatten().count() + self.without_rank.len()) as u32
    }

    pub(super) fn is_complete(&self) -> bool {
        self.count() as usize == self.taken.len()
    }

    /// Why an agent that wants this rank cannot have it.
    pub(super) fn refusal(&self, rank: Option<u32>) -> Option<String> {
        let rank = rank?;
        match self.taken.get(rank as usize) {
            None => Some(format!(
                "rank {rank} is none of the ranks 0 to {} (--expect)",
                self.taken.len().saturating_sub(1)
            )),
            Some(Some(other)) => Some(format!("{} has rank {rank} already", other.name)),
            Some(None) => None,
        }
    }

    pub(super) fn add(&mut self, caller: Caller) {
        match caller.hello.rank {
            Some(rank) => self.taken[rank as usize] = Some(caller),
            None => self.without_rank.push(caller),
        }
    }

    /// Removes the agents whose streams have ended. Their ranks are free again.
    pub(super) fn remove_gone(&mut self) -> Vec<Caller> {
        let mut gone: Vec<Caller> = self.without_rank.extract_if(.., has_gone).collect();
        for place in &mut self.taken {
            gone.extend(place.take_if(has_gone));
        }
        gone
    }

    /// The agents by rank.
    pub(super) fn into_callers(self) -> Vec<Caller> {
        let mut others = self.without_rank.into_iter();
        self.taken.into_iter().filter_map(|place| place.or_else(|| others.next())).collect()
    }
}

/// Whether the stream has ended, or is about to: an agent says nothing until it has a plan, and
/// over TLS an alert comes before the end.
fn has_gone(caller: &mut Caller) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    recv(&caller.channel.socket, &mut [0], flags).err() != Some(Errno::AGAIN)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    use super::super::super::channel::Channel;
    use super::super::super::message::Hello;
    use super::*;

    /// An agent that has dialled in, and its end of the stream.
    fn caller(rank: Option<u32>) -> (Caller, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let agent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let channel = Channel::plain(listener.accept().unwrap().0).unwrap();
        let hello = Hello { rank, ..Hello::default() };
        let (name, proof) = (format!("{rank:?}"), String::new());
        (Caller { name, hello, channel, proof }, agent)
    }

    fn wanted(callers: impl IntoIterator<Item = Caller>) -> Vec<Option<u32>> {
        callers.into_iter().map(|caller| caller.hello.rank).collect()
    }

    #[test]
    fn agents_without_a_rank_get_those_that_are_left() {
        let mut ranks = Ranks::new(3);
        assert_eq!(ranks.refusal(Some(1)), None);
        ranks.add(caller(Some(1)).0);
        assert!(ranks.refusal(Some(1)).unwrap().contains("has rank 1 already"));
        assert!(ranks.refusal(Some(3)).unwrap().contains("none of the ranks 0 to 2"));
        ranks.add(caller(None).0);
        assert!(!ranks.is_complete());
        ranks.add(caller(None).0);
        assert!(ranks.is_complete());
        assert_eq!(wanted(ranks.into_callers()), [None, Some(1), None]);
    }

    #[test]
    fn the_rank_of_an_agent_that_has_gone_is_free_again() {
        let mut ranks = Ranks::new(3);
        let mut agents = Vec::new();
        for rank in [Some(0), Some(2), None] {
            let (caller, agent) = caller(rank);
            ranks.add(caller);
            agents.push(agent);
        }
        assert!(ranks.remove_gone().is_empty() && ranks.is_complete());
        agents[2].write_all(b"x").unwrap();
        drop(agents.remove(1));
        let mut gone = Vec::new();
        while gone.len() < 2 {
            gone.extend(wanted(ranks.remove_gone()));
        }
        gone.sort_unstable();
        assert_eq!(gone, [None, Some(2)]);
        assert_eq!((ranks.refusal(Some(2)), ranks.count()), (None, 1));
    }
}
