//! The keys of one shard.

use std::collections::HashMap;

use super::protocol::{Decimal, Reply};

/// What a request does with one key.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Get,
    Set(Vec<u8>),
    Delete,
    Increment,
}

#[derive(Clone, Default)]
pub(crate) struct Store {
    values: HashMap<Vec<u8>, Vec<u8>>,
}

impl Store {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.values.get(key).map(Vec::as_slice)
    }

    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) {
        match self.values.get_mut(key) {
            Some(old) => {
                old.clear();
                old.extend_from_slice(value);
            }
            None => {
                self.values.insert(key.to_vec(), value.to_vec());
            }
        }
    }

    pub(crate) fn apply(&mut self, key: &[u8], action: Action) -> Reply {
        match action {
            Action::Get => self.get(key).map_or(Reply::Nil, |value| Reply::Bulk(value.to_vec())),
            Action::Set(value) => {
                self.set(key, &value);
                Reply::Simple("OK")
            }
            Action::Delete => Reply::Integer(self.values.remove(key).is_some().into()),
            Action::Increment => self.increment(key),
        }
    }

    fn increment(&mut self, key: &[u8]) -> Reply {
        let text = self.get(key).unwrap_or(b"0");
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
        let Some(number) = number.and_then(|number| number.checked_add(1)) else {
            return Reply::Error("ERR value is not an integer or out of range");
        };
        self.set(key, Decimal::of(number).text());
        Reply::Integer(number)
    }
}
