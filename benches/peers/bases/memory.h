/* User memory per event: how much the process grows when it makes and adds many events with a timeout. The
 * array of events counts, because a program has to store them. */

IO_HANDLER(memory_unexpected) {
    HANDLER_IGNORES_ITS_ARGUMENTS;
    refuse("a socket was ready unexpectedly");
}

/* A figure of /proc/self/smaps_rollup in bytes. */
static uint64_t memory_of_this_process(const char *field) {
    char line[256];
    uint64_t kib = 0;
    bool found = false;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    if (file == NULL)
        die("/proc/self/smaps_rollup");
    while (!found && fgets(line, sizeof line, file) != NULL)
        found = strncmp(line, field, strlen(field)) == 0 && sscanf(line + strlen(field), ": %" SCNu64, &kib) == 1;
    fclose(file);
    if (!found)
        refuse("no such line in /proc/self/smaps_rollup");
    return kib * 1024;
}

static void memory_benchmark(void) {
    unsigned ends = options.descriptors;
    struct pair *pairs = open_pairs((ends + 1) / 2);
    base_open();
    base_pass(); /* a library's first allocations are no cost per event */
    memory_of_this_process("Pss");
    uint64_t pss = memory_of_this_process("Pss"), dirty = memory_of_this_process("Private_Dirty");
    io_event *events = array_of(options.events, sizeof *events);
    for (unsigned i = 0; i < options.events; i++) {
        unsigned end = i % ends;
        int fd = end % 2 == 0 ? pairs[end / 2].reader : pairs[end / 2].writer;
        io_assign(&events[i], fd, READABLE, PERSISTENT, memory_unexpected, i);
        io_add_within(&events[i], 60000000 + random_below(1000000));
    }
    base_pass();
    print_number("events", options.events);
    print_number("pss_bytes", memory_of_this_process("Pss") - pss);
    print_number("private_dirty_bytes", memory_of_this_process("Private_Dirty") - dirty);
    for (unsigned i = 0; i < options.events; i++)
        io_del(&events[i]);
    base_close();
    close_pairs(pairs, (ends + 1) / 2);
    free(events);
}
