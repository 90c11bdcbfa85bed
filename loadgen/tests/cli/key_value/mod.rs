//! Redis and memcached with keys: real servers, and small ones that lie.

mod fake_redis;
mod logins;
mod real_servers;
mod replay;
mod wrong_values;
