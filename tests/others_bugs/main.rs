//! Bugs that other servers had, each as a test named after what went wrong.
//!
//! The list has each bug and its tests. Files without a folder are in this one or in `tests/`;
//! those of `base/`, `backend/` and `server/` are in `src/`.
//!
//! - a wake was lost (libuv, tokio, helio, compio): `base/cross_thread/wake.rs`: `loom_t1_…` to
//!   `loom_t3_…`, `loom_t6_…`, mutations `loom_t7_…`; `server/handoff/mod.rs`:
//!   `a_million_handoffs_lose_no_wake`, `ten_million_…` (ignored)
//! - a sleeper's flag was cleared too early (HAProxy): `base/cross_thread/wake.rs`:
//!   `loom_t7_catches_every_mutation_of_the_loop`
//! - an acceptor that waits for room is not woken: `server/worker_queue/backpressure.rs`,
//!   `server/connection_limit.rs`: `loom_t4_…`
//! - one wake for each connection (memcached): `server/accept/tests.rs`:
//!   `a_storm_is_accepted_in_few_batches_with_one_wake_each_and_one_more_at_half`
//! - counts decremented late skew placement (Seastar): `balance.rs`: `a_late_decrement_…`;
//!   `server/placement/load.rs`: `ten_thousand_connections_…`
//! - placement in turn, while clients close unevenly (Netty, gnet): `balance.rs`:
//!   `a_shard_that_lost_its_clients_…`
//! - the kernel's hash decides alone (h2o, ingress-nginx): `balance.rs`: `the_kernels_hash_…`
//! - no descriptors: a spinning core, no accepts, no recovery (bun, libuv, ranch, pg_doorman):
//!   `exhaustion.rs`: `running_out_of_descriptors_…`; `scripts/faults.sh` has stricter limits
//! - an error of accept(2) ends the server (gnet): `exhaustion.rs`: `an_error_of_…`;
//!   `server/accept/listen_socket.rs`
//! - an accept(2) that always fails with the error of one connection spins: `exhaustion.rs`:
//!   `an_accept_that_always_fails_…`
//! - one lack of memory in a wait ends a worker, in silence; a server that cannot wait is ready:
//!   `kernel_errors.rs`
//! - a signal that interrupts a wait lets timeouts pass for what is ready: `kernel_errors.rs`:
//!   `a_pause_of_the_process_…`; `base/tests/turn.rs`: `an_interrupted_wait_…`
//! - a descriptor closed while its change is pending (libuv): `fd_reuse.rs`:
//!   `closing_a_watched_descriptor_…`,
//!   `a_descriptor_closed_before_the_flush_does_no_harm`
//! - its number reused within one round: `fd_reuse.rs`; `base/events/slot.rs`:
//!   `a_freed_id_never_names_the_slots_next_event`; `base/changelist.rs`:
//!   `close_and_reuse_of_the_number_…`
//! - full queues lose connections or descriptors (lwan, sozu): `overload.rs`:
//!   `a_full_queue_…`, `blocked_workers_…`; `server/accept/tests.rs`:
//!   `what_no_worker_has_room_for_…`
//! - a connection limit that is exceeded (actix-net): `overload.rs`:
//!   `the_limit_of_connections_…`, `a_client_over_the_limit_…`; `server/connection_limit.rs`:
//!   `the_limit_is_exact_…`
//! - a backlog too short for a burst (sledge): `overload.rs`: `a_burst_…`
//! - a slow PROXY header delays others (Seastar): `fairness.rs`: `a_slow_proxy_header_…`;
//!   `proxy.rs`: `a_header_that_comes_byte_by_byte_…`
//! - an event array of fixed length (flux): `fairness.rs`: `an_event_array_…`;
//!   `backend/epoll.rs`: `the_event_array_doubles_…`
//! - an event array that shrinks and grows by turns: none: it never shrinks, and its
//!   maximum is 4096 entries
//! - one connection that is always ready (hyper): `fairness.rs`:
//!   `a_connection_that_is_always_ready_…`
//! - no connection is accepted beside a flood (actix-net, netpoll): `fairness.rs`:
//!   `no_connection_is_accepted_…`
//! - accepted, and first read much later (tokio): `fairness.rs`:
//!   `what_came_with_the_connection_…`
//! - a blocked loop that no metric shows (smg): `fairness.rs`: `a_loop_that_stands_still_…`
//! - a half-closed connection is cut: `server_echo.rs`: `messages_of_any_size_…_half_close_…`
//! - buffers without a limit in all, memory that is kept after a burst, a process that aborts at
//!   its limit of memory: `memory.rs`; `server/shard/free_memory.rs`
//! - a panic ends its whole shard: `shutdown.rs`: `a_panic_of_one_connection_…`;
//!   `services.rs`: `a_panicking_service_…`; of a worker itself, `server/accept/tests.rs`:
//!   `without_workers_the_acceptor_ends_…`
//! - an upgrade loses queued and idle connections and requests (Envoy, sozu, nginx):
//!   `upgrade.rs`: `an_upgrade_loses_…`; `server/upgrade/tests.rs`:
//!   `clients_that_keep_connecting_notice_none_of_ten_upgrades`
//! - a handshake in progress at the end is reset: `server/accept/tests.rs`:
//!   `no_handshake_begins_after_the_stop_…`; `server/tests.rs`:
//!   `a_storm_of_clients_sees_no_reset_…`
//! - fewer sockets of a SO_REUSEPORT group reset a queue (nginx, Envoy): `upgrade.rs`:
//!   `fewer_workers_than_before_…`, `the_end_of_a_reuseport_server_…`, with or without
//!   `tcp_migrate_req`: no socket is closed before its queue is empty
//! - a drain without an end, old processes that pile up (HAProxy): `shutdown.rs`:
//!   `one_client_that_never_ends_…`; `upgrade.rs`: `old_servers_pile_up_…`;
//!   `server_process.rs`: `termination_under_load_…`
//! - all clients are closed at once, and reconnect at once (Envoy): `services.rs`:
//!   `a_drain_spreads_the_end_of_idle_connections_…`
//! - accepting ends before the load balancer is notified: `shutdown.rs`:
//!   `clients_are_refused_before_…`; `haproxy.rs`: `a_rolling_restart_under_load_fails_no_client`
//! - a second SIGTERM is ignored: `shutdown.rs`: `a_second_sigterm_…`; `server_process.rs`:
//!   `a_second_signal_…`
//! - the reader of the log stalls, and with it the server: `logging.rs`: `a_log_reader_…`,
//!   `a_stalled_reader_of_standard_output_…`; losses that the log hides: `a_log_that_dropped_…`
//! - a rotated log file stays in use: `logging.rs`: `a_log_file_that_was_rotated_…`,
//!   `…_cannot_be_opened_again_…`; one at its maximum size ends the server:
//!   `a_log_file_of_maximum_size_…`
//! - a signal that was meant as reload, rotation or drain cuts clients: `logging.rs`:
//!   `a_signal_sent_by_habit_…`, `a_sigquit_…`
//! - deadlines without effect: `shutdown.rs`: `a_timeout_of_the_command_line_…`;
//!   `services.rs`: `a_slow_loris_…`
//! - workers for the host's cores in a container (Envoy, Unit): `sizing.rs`:
//!   `a_quota_of_one_and_a_half_cores_…`
//! - variables of another process are used: `sizing.rs`: `sockets_that_were_passed_…`;
//!   `listeners.rs`: `sockets_for_another_process_…`
//! - workers that spin where cores are few: none: nothing spins before it sleeps
//! - closed, written to or timed out while moving between shards (Dragonfly, tiproxy):
//!   none: a connection stays where it was placed

#[path = "../common/mod.rs"]
mod common;

mod balance;
mod clients;
mod exhaustion;
mod fairness;
mod kernel_errors;
mod logging;
mod memory;
mod overload;
mod servers;
mod shutdown;
mod sizing;
mod stoppable;
mod upgrade;
