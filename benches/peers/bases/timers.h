/* Many timers: adding, setting anew, deleting and expiring. Everything but expiring happens inside one handler, as in
 * a server, so that every library uses its cached clock. */

enum {
    LONG_US = 10000000,    /* timeouts that do not expire during the benchmark: 10 s, */
    SPREAD_US = 60000000,  /* and up to a minute more if they are random */
    SOON_US = 1000,        /* timeouts that expire: all within a millisecond */
    ALL_DUE_NS = 20000000, /* after this all of those have expired, also on a coarse clock */
};

static struct timers {
    timer_event *events;
    timer_event phase_event;
    void (*phase)(void);
    bool common, phase_ran;
    unsigned fired;
    uint64_t phase_ns;
} timers;

TIMER_HANDLER(timer_expired) {
    HANDLER_IGNORES_ITS_ARGUMENTS;
    timers.fired++;
}

TIMER_HANDLER(timers_run_phase) {
    HANDLER_IGNORES_ITS_ARGUMENTS;
    uint64_t begin = now_ns();
    timers.phase();
    timers.phase_ns = now_ns() - begin;
    timers.phase_ran = true;
}

/* Runs `phase` inside a handler and returns how long it took. */
static uint64_t timers_in_handler(void (*phase)(void)) {
    timers.phase = phase;
    timers.phase_ran = false;
    timer_add(&timers.phase_event, 0);
    while (!timers.phase_ran)
        base_pass();
    return timers.phase_ns;
}

static uint64_t timers_long_us(void) { return LONG_US + random_below(SPREAD_US); }

static void timers_add(void) {
    for (unsigned i = 0; i < options.timers; i++)
        timer_add(&timers.events[i], timers_long_us());
}

static void timers_reset(void) {
    for (unsigned i = 0; i < options.timers; i++)
        timer_reset(&timers.events[i], timers_long_us());
}

static void timers_delete(void) {
    for (unsigned i = 0; i < options.timers; i++)
        timer_del(&timers.events[i]);
}

static void timers_add_soon(void) {
    for (unsigned i = 0; i < options.timers; i++)
        timer_add(&timers.events[i], random_below(SOON_US));
}

/* The same with one duration for all, by what the library has for that. */
static void timers_add_common(void) {
    for (unsigned i = 0; i < options.timers; i++)
        timer_add_common(&timers.events[i]);
}

static void timers_reset_common(void) {
    for (unsigned i = 0; i < options.timers; i++)
        timer_reset_common(&timers.events[i]);
}

static uint64_t timers_expire(void) {
    if (timers.common)
        common_open(SOON_US);
    timers_in_handler(timers.common ? timers_add_common : timers_add_soon);
    timers.fired = 0;
    for (uint64_t all_due = now_ns() + ALL_DUE_NS; now_ns() < all_due;)
        continue;
    uint64_t begin = now_ns();
    while (timers.fired < options.timers)
        base_pass();
    return now_ns() - begin;
}

static void timers_benchmark(void) {
    uint64_t add[RUNS_MAX], reset[RUNS_MAX], delete[RUNS_MAX], expire[RUNS_MAX];
    timers.events = array_of(options.timers, sizeof *timers.events);
    timers.common = strcmp(options.deadlines, "common") == 0;
    base_open();
    timer_assign(&timers.phase_event, timers_run_phase);
    for (unsigned i = 0; i < options.timers; i++)
        timer_assign(&timers.events[i], timer_expired);
    for (unsigned run = 0; run <= options.runs; run++) {
        unsigned slot = run == 0 ? 0 : run - 1;
        if (timers.common)
            common_open(LONG_US);
        add[slot] = timers_in_handler(timers.common ? timers_add_common : timers_add);
        if (run > 0) /* the first run only grows the heap */
            reset[slot] = timers_in_handler(timers.common ? timers_reset_common : timers_reset);
        delete[slot] = timers_in_handler(timers_delete);
        if (run > 0)
            expire[slot] = timers_expire();
    }
    base_close();
    free(timers.events);
    print_number("timers", options.timers);
    print_text("common_how", common_how());
    print_numbers("add_ns", add, options.runs);
    print_numbers("reset_ns", reset, options.runs);
    print_numbers("delete_ns", delete, options.runs);
    print_numbers("expire_ns", expire, options.runs);
}
