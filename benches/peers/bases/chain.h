/* The chain of Provos' and Lehmann's famous programs: n pairs, a of them active, w bytes passed on from each pair to
 * the next. With --rearm every event has a timeout of 10 to 11 s, which each read sets anew. */

static struct chain {
    struct pair *pairs;
    io_event *events;
    enum rearm rearm;
    uint64_t reads, writes_left, all_hops;
} chain;

static uint64_t chain_timeout_us(void) { return 10000000 + random_below(1000000); }

IO_HANDLER(chain_hop) {
    unsigned index = (unsigned)HANDLER_INDEX;
    if (chain.rearm != REARM_NONE)
        io_rearm(&chain.events[index], chain.rearm, chain_timeout_us());
    read_byte(HANDLER_FD);
    chain.reads++;
    if (chain.writes_left > 0) {
        chain.writes_left--;
        write_byte(chain.pairs[index + 1 < options.pipes ? index + 1 : 0].writer);
    }
}

static void chain_register(void) {
    for (unsigned i = 0; i < options.pipes; i++) {
        io_assign(&chain.events[i], chain.pairs[i].reader, READABLE, PERSISTENT, chain_hop, i);
        if (chain.rearm != REARM_NONE)
            io_add_within(&chain.events[i], chain_timeout_us());
        else
            io_add(&chain.events[i]);
    }
    base_pass();
}

/* Nanoseconds from the first pass until every byte was read; writing the first bytes is not in it. */
static uint64_t chain_loop(unsigned writes) {
    unsigned space = options.pipes / options.active;
    chain.reads = 0;
    chain.writes_left = writes;
    for (unsigned i = 0; i < options.active; i++)
        write_byte(chain.pairs[i * space].writer);
    uint64_t expected = (uint64_t)options.active + writes, begin = now_ns();
    while (chain.reads < expected)
        base_pass();
    chain.all_hops += expected;
    return now_ns() - begin;
}

/* Every run has a base of its own, or the second run would register what the kernel still knows. A shorter loop, not
 * reported, lets the library's event array grow; the whole first run is short and not reported either. */
static void chain_benchmark(void) {
    uint64_t registering[RUNS_MAX], loops[RUNS_MAX];
    unsigned warm_up_writes = options.writes / 4;
    chain.pairs = open_pairs(options.pipes);
    chain.events = array_of(options.pipes, sizeof *chain.events);
    chain.rearm = rearm_named(options.rearm);
    for (unsigned run = 0; run <= options.runs; run++) {
        unsigned slot = run == 0 ? 0 : run - 1;
        base_open();
        uint64_t begin = now_ns();
        chain_register();
        registering[slot] = now_ns() - begin;
        chain_loop(warm_up_writes);
        loops[slot] = chain_loop(run == 0 ? warm_up_writes : options.writes);
        for (unsigned i = 0; i < options.pipes; i++)
            io_del(&chain.events[i]);
        base_close();
    }
    close_pairs(chain.pairs, options.pipes);
    free(chain.events);
    print_numbers("register_ns", registering, options.runs);
    print_numbers("loop_ns", loops, options.runs);
    print_number("hops", (uint64_t)options.active + options.writes);
    print_number("all_hops", chain.all_hops);
}
