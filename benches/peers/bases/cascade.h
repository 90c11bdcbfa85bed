/* The cascade of libevent's bench_cascade: n one-shot events with a timeout of 60 s, and a byte that runs through all
 * of them. Registering, the first byte and the way to the last event are timed; new sockets in every run. */

enum { CASCADE_TIMEOUT_US = 60000000 };

static struct cascade {
    struct pair *pairs;
    io_event *events;
    unsigned reads;
} cascade;

IO_HANDLER(cascade_step) {
    unsigned index = (unsigned)HANDLER_INDEX;
    HANDLER_ENDS_ONE_SHOT;
    read_byte(HANDLER_FD);
    cascade.reads++;
    if (index + 1 < options.pipes)
        write_byte(cascade.pairs[index + 1].writer);
}

static uint64_t cascade_run(void) {
    cascade.pairs = open_pairs(options.pipes);
    cascade.reads = 0;
    uint64_t begin = now_ns();
    for (unsigned i = 0; i < options.pipes; i++) {
        io_assign(&cascade.events[i], cascade.pairs[i].reader, READABLE, ONE_SHOT, cascade_step, i);
        io_add_within(&cascade.events[i], CASCADE_TIMEOUT_US);
    }
    write_byte(cascade.pairs[0].writer);
    base_dispatch();
    uint64_t elapsed = now_ns() - begin;
    if (cascade.reads != options.pipes)
        refuse("the cascade did not reach its last event");
    for (unsigned i = 0; i < options.pipes; i++)
        io_del(&cascade.events[i]);
    close_pairs(cascade.pairs, options.pipes);
    return elapsed;
}

static void cascade_benchmark(void) {
    uint64_t elapsed[RUNS_MAX];
    cascade.events = array_of(options.pipes, sizeof *cascade.events);
    base_open();
    for (unsigned run = 0; run <= options.runs; run++)
        elapsed[run == 0 ? 0 : run - 1] = cascade_run();
    base_close();
    free(cascade.events);
    print_numbers("elapsed_ns", elapsed, options.runs);
    print_number("hops", options.pipes);
    print_number("all_hops", (options.runs + 1) * (uint64_t)options.pipes);
}
