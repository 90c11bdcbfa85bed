//! Redis and memcached with keys: real servers, and small ones that lie.

mod fake_redis;
mod real_servers;
mod wrong_values;
