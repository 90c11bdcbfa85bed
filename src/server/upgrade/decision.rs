//! Which of the two servers serves after a handover: the rules of both sides.
//!
//! The running server goes on if it sent `refused`, and ends if it sent `leaving`. A successor that
//! has the sockets and finds the connection closed without either knows that the running server is
//! gone, because one that goes on says so first.

/// What the running server learns about a handover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The successor accepts connections.
    Ready,
    /// The successor has used up its time.
    Late,
    /// The successor closed, or broke the protocol.
    Failed,
    /// The running server is to end.
    Ending,
}

/// What the running server does then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Decision {
    Wait,
    /// Sends `leaving`: the sockets are the successor's.
    HandOver,
    /// Sends `refused` and closes: the sockets stay with the running server.
    Refuse,
}

/// Decides for the running server. `is_ending` says whether it is to end in any case: then a
/// successor that has all sockets gets the rest of its time, and serves even if that is too short.
pub(super) fn decide(cause: Cause, has_sockets: bool, is_ending: bool) -> Decision {
    match cause {
        Cause::Ready => Decision::HandOver,
        Cause::Ending if has_sockets => Decision::Wait,
        Cause::Late if has_sockets && is_ending => Decision::HandOver,
        Cause::Ending | Cause::Late | Cause::Failed => Decision::Refuse,
    }
}

/// What a successor that has the sockets received last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastReceived {
    Draining,
    /// `refused`, or a message that makes no sense there.
    Refused,
    /// The other server closed the connection, or the kernel did at its end.
    Closed,
    /// The successor has stopped waiting.
    Nothing,
}

/// Decides for the successor: whether it serves, or withdraws.
pub(super) fn successor_serves(last: LastReceived) -> bool {
    match last {
        LastReceived::Draining | LastReceived::Closed => true,
        LastReceived::Refused | LastReceived::Nothing => false,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The running server.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum Running {
        /// It serves, and offers the sockets.
        Serves,
        /// It was taken over and drains.
        HandedOver,
        /// It ends, and nothing can accept on the sockets any more.
        EndedAlone,
        Killed,
    }

    /// The successor.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum New {
        /// It has asked for the sockets.
        Asked,
        HasSockets,
        SaidReady,
        Serves,
        /// It gave the sockets back, because it was refused or stopped waiting.
        Withdrawn,
        /// It has never had all sockets.
        GotNothing,
        Killed,
    }

    /// Both servers and their connection, between two steps.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    struct State {
        running: Running,
        is_ending: bool,
        new: New,
        sockets_sent: bool,
        ready_sent: bool,
        last_word: Option<Decision>,
        /// It refused a successor that had all sockets, although it was to end itself.
        refused_at_its_end: bool,
        /// The running server's end of the connection is closed.
        running_closed: bool,
        /// The successor's end is closed.
        new_closed: bool,
        /// The successor has shut down reading.
        new_is_deaf: bool,
        /// A signal or an expired timeout was to end the successor's waiting.
        new_gives_up: bool,
    }

    /// The rules under test.
    struct Rules {
        decide: fn(Cause, bool, bool) -> Decision,
        serves: fn(LastReceived) -> bool,
    }

    const RULES: Rules = Rules { decide, serves: successor_serves };

    impl State {
        const START: Self = Self {
            running: Running::Serves,
            is_ending: false,
            new: New::Asked,
            sockets_sent: false,
            ready_sent: false,
            last_word: None,
            refused_at_its_end: false,
            running_closed: false,
            new_closed: false,
            new_is_deaf: false,
            new_gives_up: false,
        };

        /// The running server learns something.
        fn learn(mut self, rules: &Rules, cause: Cause) -> Self {
            self.is_ending |= cause == Cause::Ending;
            if !self.running_closed {
                let can_send = !self.new_closed && !self.new_is_deaf;
                match (rules.decide)(cause, self.sockets_sent, self.is_ending) {
                    Decision::Wait => return self,
                    Decision::HandOver if can_send => {
                        self.last_word = Some(Decision::HandOver);
                        self.running = Running::HandedOver;
                    }
                    _ if can_send => {
                        self.last_word = Some(Decision::Refuse);
                        self.refused_at_its_end = self.is_ending && self.sockets_sent;
                    }
                    _ => {}
                }
                self.running_closed = true;
            }
            if self.is_ending && self.running == Running::Serves {
                self.running = Running::EndedAlone;
            }
            self
        }

        /// All that the running server can do next, and that can happen to it.
        fn steps_of_running(self, rules: &Rules, next: &mut Vec<Self>) {
            if matches!(self.running, Running::Killed | Running::EndedAlone) {
                return;
            }
            // A server that drains may be killed as well. Its successor must not care.
            let killed = Self { running: Running::Killed, running_closed: true, ..self };
            next.push(killed);
            if self.running != Running::Serves {
                return;
            }
            if !self.is_ending {
                next.push(self.learn(rules, Cause::Ending));
            }
            if self.running_closed {
                return;
            }
            if !self.sockets_sent && !self.new_closed {
                next.push(Self { sockets_sent: true, ..self });
            }
            next.push(self.learn(rules, Cause::Late));
            if self.ready_sent {
                next.push(self.learn(rules, Cause::Ready));
            } else if self.new_closed {
                next.push(self.learn(rules, Cause::Failed));
            }
        }

        fn end_new(self, new: New) -> Self {
            Self { new, new_closed: true, ..self }
        }

        /// All that the successor can do next, and that can happen to it.
        fn steps_of_new(self, rules: &Rules, next: &mut Vec<Self>) {
            match self.new {
                New::Asked if self.sockets_sent => next.push(Self { new: New::HasSockets, ..self }),
                New::Asked if self.running_closed => next.push(self.end_new(New::GotNothing)),
                New::Asked => {}
                New::HasSockets => {
                    let ready_sent = !self.running_closed;
                    next.push(Self { new: New::SaidReady, ready_sent, ..self });
                }
                New::SaidReady => {
                    let last = match self.last_word {
                        Some(Decision::HandOver) => Some(LastReceived::Draining),
                        Some(_) => Some(LastReceived::Refused),
                        None if self.new_is_deaf => Some(LastReceived::Nothing),
                        None if self.running_closed => Some(LastReceived::Closed),
                        None => None,
                    };
                    if let Some(last) = last {
                        let serves = (rules.serves)(last);
                        let new = if serves { New::Serves } else { New::Withdrawn };
                        next.push(self.end_new(new));
                    }
                    if !self.new_is_deaf && !self.running_closed {
                        next.push(Self { new_is_deaf: true, new_gives_up: true, ..self });
                    }
                }
                New::Serves | New::Withdrawn | New::GotNothing | New::Killed => return,
            }
            next.push(self.end_new(New::Killed));
        }

        /// Whether neither waits for the other any more.
        fn is_settled(self) -> bool {
            let is_new_settled = !matches!(self.new, New::Asked | New::HasSockets | New::SaidReady);
            is_new_settled && (self.running != Running::Serves || self.running_closed)
        }

        /// What must hold then.
        fn check(self) -> Result<(), String> {
            let new_serves = self.new == New::Serves;
            let both = new_serves && self.running == Running::Serves;
            let deaf = new_serves && self.running == Running::EndedAlone;
            let was_refused = self.last_word == Some(Decision::Refuse);
            let new_is_left = self.new == New::Withdrawn && !was_refused && !self.new_gives_up;
            let given_to_none = self.running == Running::HandedOver
                && !matches!(self.new, New::Serves | New::Killed);
            for (is_wrong, what) in [
                (both, "two serve for ever"),
                (deaf, "the successor serves on sockets that its predecessor has ended"),
                (new_is_left, "a successor with the sockets withdraws, and no one keeps them"),
                (self.refused_at_its_end, "a server that ends keeps the sockets to itself"),
                (given_to_none, "the sockets were handed over to a server that does not serve"),
            ] {
                if is_wrong {
                    return Err(format!("{what}: {self:?}"));
                }
            }
            Ok(())
        }
    }

    /// Tries every order of the steps, and returns how many states there are.
    fn explore(rules: &Rules) -> Result<usize, String> {
        let (mut seen, mut open) = (HashSet::from([State::START]), vec![State::START]);
        while let Some(state) = open.pop() {
            let mut next = Vec::new();
            state.steps_of_running(rules, &mut next);
            state.steps_of_new(rules, &mut next);
            if state.is_settled() {
                state.check()?;
            }
            open.extend(next.into_iter().filter(|state| seen.insert(*state)));
        }
        Ok(seen.len())
    }

    #[test]
    fn in_every_order_of_steps_signals_and_deaths_one_server_serves() {
        let states = explore(&RULES).unwrap();
        assert!(states > 50, "{states}");
    }

    #[test]
    fn rules_with_a_fault_leave_no_server_or_two() {
        let withdraws = |last| last == LastReceived::Draining;
        let serves_unless_refused = |last| last != LastReceived::Refused;
        let drops_at_its_end = |cause, has_sockets, is_ending| match cause {
            Cause::Ending => Decision::Refuse,
            _ => decide(cause, has_sockets, is_ending),
        };
        let refuses_a_late_one = |cause, has_sockets, _| decide(cause, has_sockets, false);
        for (fault, rules) in [
            ("a closed connection is a refusal", Rules { serves: withdraws, ..RULES }),
            ("a server that ends refuses", Rules { decide: drops_at_its_end, ..RULES }),
            ("it ends without a late one", Rules { decide: refuses_a_late_one, ..RULES }),
            ("no answer means that it is gone", Rules { serves: serves_unless_refused, ..RULES }),
        ] {
            assert!(explore(&rules).is_err(), "{fault}");
        }
    }
}
