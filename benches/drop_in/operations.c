/* operations: does one operation of libevent's event core many times, for callgrind to count its instructions.
 *
 *     operations OPERATION COUNT
 *
 * The instructions of one operation are the difference of two runs, divided by the difference of their COUNTs. Then the
 * start and the end of the program cancel. Linked with libevent_core, it runs on any library of that name.
 *
 * All operations take place in a callback, or are one. The callbacks themselves do as little as possible.
 */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIPES 16

static const struct timeval TEN_SECONDS = {10, 0}, TWENTY_SECONDS = {20, 0}, NOW = {0, 0};

static struct event_base *base;
static struct event events[PIPES];
static long left;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void expect(int result, const char *what) {
    if (result != 0)
        fail(what);
}

/* The reading end of a pipe in which a byte waits. */
static int readable_pipe(void) {
    int ends[2];
    if (pipe(ends) != 0 || write(ends[1], "x", 1) != 1)
        fail("pipe");
    return ends[0];
}

static void count_down(evutil_socket_t fd, short what, void *argument) {
    (void)fd, (void)what, (void)argument;
    if (--left <= 0)
        event_base_loopbreak(base);
}

static void do_nothing(evutil_socket_t fd, short what, void *argument) {
    (void)fd, (void)what, (void)argument;
}

/* The byte is never read, so that each turn of the loop reports each pipe. */
static void watch_pipes(int pipes) {
    for (int i = 0; i < pipes; i++) {
        event_assign(&events[i], base, readable_pipe(), EV_READ | EV_PERSIST, count_down, NULL);
        expect(event_add(&events[i], NULL), "event_add");
    }
}

static void start_read(void) {
    watch_pipes(1);
}

static void start_reads(void) {
    watch_pipes(PIPES);
}

static void add_and_delete(evutil_socket_t fd, short what, void *argument) {
    (void)fd, (void)what, (void)argument;
    for (; left > 0; left--) {
        event_add(&events[0], &TEN_SECONDS);
        event_del(&events[0]);
    }
}

static void start_timer(void) {
    evtimer_assign(&events[0], base, do_nothing, NULL);
    expect(event_base_once(base, -1, EV_TIMEOUT, add_and_delete, NULL, &NOW), "event_base_once");
}

static void set_again(evutil_socket_t fd, short what, void *argument) {
    (void)fd, (void)what, (void)argument;
    event_add(&events[0], &TEN_SECONDS);
    for (; left > 0; left--)
        event_add(&events[0], left % 2 ? &TEN_SECONDS : &TWENTY_SECONDS);
    event_del(&events[0]);
}

static void start_reset(void) {
    evtimer_assign(&events[0], base, do_nothing, NULL);
    expect(event_base_once(base, -1, EV_TIMEOUT, set_again, NULL, &NOW), "event_base_once");
}

static void add_itself(evutil_socket_t fd, short what, void *argument) {
    (void)fd, (void)what, (void)argument;
    if (--left > 0)
        event_add(&events[0], &NOW);
}

static void start_expiry(void) {
    evtimer_assign(&events[0], base, add_itself, NULL);
    expect(event_add(&events[0], &NOW), "event_add");
}

static void activate_itself(evutil_socket_t fd, short what, void *argument) {
    (void)fd, (void)what, (void)argument;
    if (--left > 0)
        event_active(&events[0], EV_TIMEOUT, 1);
}

static void start_active(void) {
    evtimer_assign(&events[0], base, activate_itself, NULL);
    event_active(&events[0], EV_TIMEOUT, 1);
}

/* As memcached changes what a connection waits for. */
static void assign_again(evutil_socket_t fd, short what, void *argument) {
    (void)fd, (void)what, (void)argument;
    int pipe = event_get_fd(&events[0]);
    for (; left > 0; left--) {
        event_del(&events[0]);
        event_assign(&events[0], base, pipe, (left % 2 ? EV_WRITE : EV_READ) | EV_PERSIST, do_nothing, NULL);
        event_add(&events[0], NULL);
    }
    event_del(&events[0]);
}

static void start_assign(void) {
    event_assign(&events[0], base, readable_pipe(), EV_READ | EV_PERSIST, do_nothing, NULL);
    expect(event_add(&events[0], NULL), "event_add");
    expect(event_base_once(base, -1, EV_TIMEOUT, assign_again, NULL, &NOW), "event_base_once");
}

static const struct operation {
    const char *name;
    void (*start)(void);
    const char *meaning;
} OPERATIONS[] = {
    {"read", start_read, "a persistent event of a descriptor fires, one in each turn of the loop"},
    {"reads", start_reads, "the same, 16 in each turn"},
    {"timer", start_timer, "a timer is added and deleted"},
    {"reset", start_reset, "the timeout of a pending timer is set again"},
    {"expiry", start_expiry, "a timer with a timeout of zero fires, and its callback adds it again"},
    {"active", start_active, "an event activates itself and is called"},
    {"assign", start_assign, "an event is deleted, assigned with another interest, and added, as in memcached"},
};
#define OPERATIONS_LENGTH (sizeof OPERATIONS / sizeof OPERATIONS[0])

static void usage(FILE *out) {
    fprintf(out, "usage: operations OPERATION COUNT\n");
    for (size_t i = 0; i < OPERATIONS_LENGTH; i++)
        fprintf(out, "  %-7s %s\n", OPERATIONS[i].name, OPERATIONS[i].meaning);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return 0;
    }
    char *end = NULL;
    left = argc == 3 ? strtol(argv[2], &end, 10) : 0;
    if (left <= 0 || *end != '\0') {
        usage(stderr);
        return 2;
    }
    for (size_t i = 0; i < OPERATIONS_LENGTH; i++) {
        if (strcmp(argv[1], OPERATIONS[i].name) == 0) {
            base = event_base_new();
            if (base == NULL)
                fail("event_base_new");
            OPERATIONS[i].start();
            return event_base_dispatch(base) < 0;
        }
    }
    usage(stderr);
    return 2;
}
