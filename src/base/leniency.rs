//! Leniency: what programs written for libevent do, and a base refuses by default.

bitflags::bitflags! {
    /// What libevent accepts and a base refuses by default. Each bit makes a base accept it.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Leniency: u8 {
        /// Edge- and level-triggered events share a descriptor. The one that was added last
        /// decides for all. (libevent refuses this in its debug mode only.)
        const MIXED_TRIGGERS = 0x01;
        /// An edge-triggered event on a backend without edges is reported by level.
        const EDGE_AS_LEVEL = 0x02;
        /// On the backend poll, a descriptor that is closed while an event waits for it is reported
        /// as ready, once. (libevent reports it in each turn.)
        const CLOSED_IS_READY = 0x04;
        /// An event of a negative descriptor can be pending. It is counted, keeps the loop alive,
        /// and fires by its timeout or by hand only.
        const NEGATIVE_FD = 0x08;
    }
}
