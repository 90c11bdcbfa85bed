//! The members of a group: a set that can be iterated from any member.

use std::collections::HashMap;
use std::hash::Hash;

/// A set of ids. Adding and removing are O(1), amortised.
#[derive(Clone, Debug)]
pub(super) struct Members<M> {
    list: Vec<M>,
    /// The index of each id in the list.
    indexes: HashMap<M, usize>,
}

impl<M: Copy + Eq + Hash> Members<M> {
    pub(super) fn new() -> Self {
        Self { list: Vec::new(), indexes: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Adds an id; returns whether it is new.
    pub(super) fn add(&mut self, member: M) -> bool {
        let is_new = !self.indexes.contains_key(&member);
        if is_new {
            self.indexes.insert(member, self.list.len());
            self.list.push(member);
        }
        is_new
    }

    /// Removes an id; returns whether it was there. The last id gets its index.
    pub(super) fn remove(&mut self, member: M) -> bool {
        let Some(index) = self.indexes.remove(&member) else { return false };
        self.list.swap_remove(index);
        if let Some(moved) = self.list.get(index) {
            self.indexes.insert(*moved, index);
        }
        true
    }

    /// All ids in the order of the list, beginning at index `first`, which is at most `len`.
    pub(super) fn starting_at(&self, first: usize) -> impl Iterator<Item = M> + '_ {
        let (before, from) = self.list.split_at(first);
        from.iter().chain(before).copied()
    }

    /// Panics if list and indexes disagree.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(self.list.len(), self.indexes.len());
        for (index, member) in self.list.iter().enumerate() {
            assert_eq!(self.indexes.get(member), Some(&index));
        }
    }
}
