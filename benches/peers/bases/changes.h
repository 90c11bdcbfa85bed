/* Changes of interest: on c level-triggered descriptors a turn, an event for writing is added in one turn and deleted
 * in the next, beside one for reading that stays. Each is one net change of a registration. Nothing is ever ready: the
 * sockets are full and nothing writes to them. */

enum { CHANGES_TOTAL = 20000, CHANGES_TURNS_MAX = 4000 };

IO_HANDLER(changes_unexpected) {
    HANDLER_IGNORES_ITS_ARGUMENTS;
    refuse("a socket was ready unexpectedly");
}

static void changes_fill(int fd) {
    static const char bytes[4096];
    while (send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) > 0)
        continue;
    if (errno != EAGAIN)
        die("send");
}

/* Nanoseconds a series of turns takes that toggles `changes` events in each. */
static uint64_t changes_series(io_event *writing, unsigned changes, unsigned turns) {
    uint64_t begin = now_ns();
    for (unsigned turn = 0; turn < turns; turn++) {
        for (unsigned i = 0; i < changes; i++) {
            if (turn % 2 == 0)
                io_add(&writing[i]);
            else
                io_del(&writing[i]);
        }
        base_pass();
    }
    return now_ns() - begin;
}

static void changes_benchmark(void) {
    uint64_t busy[RUNS_MAX], idle[RUNS_MAX];
    unsigned count = options.changes, turns = CHANGES_TOTAL / count;
    turns = (turns < CHANGES_TURNS_MAX ? turns : CHANGES_TURNS_MAX) / 2 * 2;
    struct pair *pairs = open_pairs(count);
    io_event *reading = array_of(count, sizeof *reading), *writing = array_of(count, sizeof *writing);
    base_open();
    for (unsigned i = 0; i < count; i++) {
        changes_fill(pairs[i].reader);
        io_assign(&reading[i], pairs[i].reader, READABLE, PERSISTENT, changes_unexpected, i);
        io_assign(&writing[i], pairs[i].reader, WRITABLE, PERSISTENT, changes_unexpected, i);
        io_add(&reading[i]);
    }
    base_pass();
    for (unsigned run = 0; run <= options.runs; run++) {
        unsigned slot = run == 0 ? 0 : run - 1;
        idle[slot] = changes_series(writing, 0, turns);
        busy[slot] = changes_series(writing, count, turns);
    }
    for (unsigned i = 0; i < count; i++)
        io_del(&reading[i]);
    base_close();
    close_pairs(pairs, count);
    free(reading);
    free(writing);
    print_number("changes", count);
    print_number("turns", turns);
    print_numbers("busy_ns", busy, options.runs);
    print_numbers("idle_ns", idle, options.runs);
    print_number("all_changes", (options.runs + 1) * (uint64_t)turns * count);
}
