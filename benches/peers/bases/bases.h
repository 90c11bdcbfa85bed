/* What all benchmarks of event bases share, whatever the library: options, clock, random numbers, socket pairs,
 * output.
 *
 * Each adapter (libevent.c, libev.c) is one translation unit that includes the benchmarks, so the compiler inlines
 * it: a benchmark calls only the library's own interface. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RUNS_MAX = 64 };

/* The options of a run; the Rust program has the same flags with the same defaults. */
static struct options {
    const char *benchmark, *variant, *rearm, *deadlines;
    unsigned pipes, active, writes, runs, timers, changes, events, descriptors;
} options = {
    .variant = "default", .rearm = "none", .deadlines = "random",
    .pipes = 100, .active = 1, .writes = 10000, .runs = 1,
    .timers = 100000, .changes = 1, .events = 100000, .descriptors = 18000,
};

static void die(const char *what) {
    perror(what);
    exit(EXIT_FAILURE);
}

static void refuse(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(2);
}

static uint64_t now_ns(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
        die("clock_gettime");
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Marsaglia's xorshift64*: the same numbers in every program. */
static uint64_t random_state = 88172645463325252;

static uint64_t random_below(uint64_t limit) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 2685821657736338717u >> 33) % limit;
}

static void *array_of(size_t count, size_t size) {
    void *array = calloc(count, size);
    if (array == NULL)
        die("calloc");
    return array;
}

/* Bytes written to the writer are read from the reader. */
struct pair {
    int reader, writer;
};

static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("setrlimit");
}

static struct pair *open_pairs(unsigned count) {
    struct pair *pairs = array_of(count, sizeof *pairs);
    for (unsigned i = 0; i < count; i++) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
            die("socketpair");
        pairs[i] = (struct pair){.reader = ends[0], .writer = ends[1]};
    }
    return pairs;
}

static void close_pairs(struct pair *pairs, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        close(pairs[i].reader);
        close(pairs[i].writer);
    }
    free(pairs);
}

/* The same calls as those of the Rust program's UnixStream. */
static inline void read_byte(int fd) {
    char byte;
    if (recv(fd, &byte, 1, 0) != 1)
        die("recv");
}

static inline void write_byte(int fd) {
    if (send(fd, "e", 1, MSG_NOSIGNAL) != 1)
        die("send");
}

/* The result: one line of JSON. */
static void print_text(const char *key, const char *value) { printf("\"%s\": \"%s\", ", key, value); }
static void print_number(const char *key, uint64_t value) { printf("\"%s\": %" PRIu64 ", ", key, value); }

static void print_numbers(const char *key, const uint64_t *values, unsigned count) {
    printf("\"%s\": [", key);
    for (unsigned i = 0; i < count; i++)
        printf("%s%" PRIu64, i == 0 ? "" : ", ", values[i]);
    printf("], ");
}
