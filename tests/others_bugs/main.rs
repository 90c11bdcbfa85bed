//! Bugs that other servers had, each as a test named after what went wrong.
//!
//! What went wrong elsewhere, and where it is a test; files without a folder are of this one or of
//! `tests/`, those of `base/`, `backend/` and `server/` stand under `src/`.
//!
//! - a wake was lost (libuv, tokio, helio, compio): `base/cross_thread/wake.rs`: `loom_t1_…` to
//!   `loom_t3_…`, `loom_t6_…`, mutations `loom_t7_…`; `server/handoff.rs`:
//!   `a_million_handoffs_lose_no_wake`, `ten_million_…` (ignored)
//! - a sleeper's flag was cleared too early (HAProxy): `base/cross_thread/wake.rs`:
//!   `loom_t7_catches_every_mutation_of_the_loop`
//! - who waits for room is not told of it: `server/backpressure.rs`,
//!   `server/accept/census.rs`: `loom_t4_…`
//! - one wake for each connection (memcached): `server/accept/tests.rs`:
//!   `a_storm_is_accepted_in_few_batches_with_one_wake_each_and_one_more_at_half`
//! - counts lowered late skew placement (Seastar): `balance.rs`: `a_late_decrement_…`;
//!   `server/load.rs`: `ten_thousand_connections_…`
//! - in turn, while clients leave unevenly (Netty, gnet): `balance.rs`:
//!   `who_lost_its_clients_…`
//! - the kernel's hash decides alone (h2o, ingress-nginx): `balance.rs`: `the_kernels_hash_…`
//! - no descriptors: a spinning core, silence, no way back (bun, libuv, ranch, pg_doorman):
//!   `exhaustion.rs`: `running_out_of_descriptors_…`; `scripts/faults.sh` has the sharp bounds
//! - an error of accept(2) ends the server (gnet): `exhaustion.rs`: `an_error_of_…`;
//!   `server/accept/entrance.rs`
//! - a descriptor closed while its change is pending (libuv): `fd_reuse.rs`:
//!   `closing_a_watched_descriptor_…`,
//!   `a_descriptor_closed_before_the_flush_does_no_harm`
//! - its number reused within one round: `fd_reuse.rs`; `base/events/slot.rs`:
//!   `a_freed_id_never_names_the_slots_next_event`; `base/changelist.rs`:
//!   `close_and_reuse_of_the_number_…`
//! - full queues lose connections or descriptors (lwan, sozu): `overload.rs`:
//!   `a_full_queue_…`, `blocked_workers_…`; `server/accept/tests.rs`:
//!   `what_no_worker_has_room_for_…`
//! - a limit of connections that is not kept (actix-net): `overload.rs`:
//!   `the_limit_of_connections_…`, `who_is_one_too_many_…`; `server/accept/census.rs`:
//!   `the_limit_is_exact_…`
//! - a backlog too short for a burst (sledge): `overload.rs`: `a_burst_…`
//! - a slow PROXY header delays others (Seastar): `fairness.rs`: `a_slow_proxy_header_…`;
//!   `proxy.rs`: `a_header_that_comes_byte_by_byte_…`
//! - an event array of fixed length (flux): `fairness.rs`: `an_event_array_…`;
//!   `backend/epoll.rs`: `the_event_array_doubles_…`
//! - an event array that shrinks and grows by turns: none: it never shrinks, and 4096 places
//!   are its most
//! - one connection that is always ready (hyper): `fairness.rs`:
//!   `a_connection_that_is_always_ready_…`
//! - nobody is let in beside a flood (actix-net, netpoll): `fairness.rs`:
//!   `nobody_is_let_in_…`
//! - accepted, and first read much later (tokio): `fairness.rs`:
//!   `what_came_with_the_connection_…`
//! - a loop that stands still unseen (smg): `fairness.rs`: `a_loop_that_stands_still_…`
//! - a half-closed connection is cut: `server_echo.rs`: `messages_of_any_size_…_half_close_…`
//! - a panic takes the shard along: `leaving.rs`: `a_panic_of_one_connection_…`;
//!   `services.rs`: `a_panicking_service_…`; of a worker itself, `server/accept/tests.rs`:
//!   `without_workers_the_gate_ends_…`
//! - an upgrade loses the queued, the idle, those under way (Envoy, sozu, nginx):
//!   `upgrade.rs`: `an_upgrade_loses_…`; `server/upgrade/tests.rs`:
//!   `clients_that_keep_connecting_notice_none_of_ten_upgrades`
//! - a handshake under way at the end is reset: `server/accept/tests.rs`:
//!   `no_handshake_begins_after_the_stop_…`; `server/tests.rs`:
//!   `a_storm_of_clients_sees_no_reset_…`
//! - fewer sockets of a SO_REUSEPORT group reset a queue (nginx, Envoy): `upgrade.rs`:
//!   `fewer_workers_than_before_…`, `the_end_of_a_reuseport_server_…`, with or without
//!   `tcp_migrate_req`: no socket is closed before its queue is empty
//! - a drain without an end, old processes that pile up (HAProxy): `leaving.rs`:
//!   `one_client_that_never_ends_…`; `upgrade.rs`: `old_servers_pile_up_…`;
//!   `server_process.rs`: `termination_under_load_…`
//! - everybody is sent away at once, and comes back at once (Envoy): `services.rs`:
//!   `a_drain_spreads_the_end_of_idle_connections_…`
//! - accepting ends before the balancer knows: `leaving.rs`: `clients_are_refused_before_…`;
//!   `haproxy.rs`: `a_rolling_restart_under_load_fails_nobody`
//! - a second SIGTERM is not heard: `leaving.rs`: `a_second_sigterm_…`; `server_process.rs`:
//!   `a_second_signal_…`
//! - deadlines that are not kept: `leaving.rs`: `a_timeout_of_the_command_line_…`;
//!   `services.rs`: `a_slow_loris_…`
//! - workers for the host's cores in a container (Envoy, Unit): `sizing.rs`:
//!   `a_quota_of_one_and_a_half_cores_…`
//! - variables of another process are believed: `sizing.rs`: `sockets_that_were_passed_…`;
//!   `listeners.rs`: `sockets_for_another_process_…`
//! - workers that spin where cores are few: none: nothing spins before it sleeps
//! - closed, written to or timed out while it moves between shards (Dragonfly, tiproxy):
//!   none: a connection stays where it was placed

#[path = "../common/mod.rs"]
mod common;

mod balance;
mod exhaustion;
mod fairness;
mod leaving;
mod overload;
mod rig;
mod sizing;
mod upgrade;
