/* storm: connects as fast as it can: connect, one byte, its echo, close.
 *
 * A number of slots each hold one connection at a time, so the storm is a closed loop: the server cannot be overrun,
 * and connections per second are what it and this client achieve together. Each connection sends another byte, so the
 * storm detects a wrong echo. It counts how every connection ends; failures do not end the storm.
 *
 *     storm 127.0.0.1:7000 --slots 64 --seconds 3
 *
 * Prints one line of JSON. Latency is from the call of connect to the echo. SIGINT ends the storm early.
 */
#include "client.h"
#include <signal.h>

enum {
    SLOTS_MAX = 4096,
    LATE_CHECK_MS = 50,
};

enum state { IDLE, CONNECTING, WAITING };

/* How a connection can fail. From RESET on it had been established. */
enum failure { REFUSED, TIMEOUT, RESET, CLOSED, WRONG, FAILURES };
static const char *const failure_names[FAILURES] = {"refused", "timeout", "reset", "closed", "wrong"};

struct slot {
    int fd;
    enum state state;
    char byte;
    uint64_t started_ns;
};

struct storm {
    /* options */
    struct sockaddr_in server;
    unsigned slots, sources, count, seconds, timeout_ms;
    int rst, until_refused;
    /* results */
    unsigned opened, busy;
    uint64_t failures[FAILURES], last_echo_ns, longest_gap_ns;
    struct samples latency;
    /* connections */
    int epoll;
    struct slot slot[SLOTS_MAX];
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal) {
    (void)signal;
    interrupted = 1;
}

static void close_slot(struct storm *storm, struct slot *slot) {
    struct linger reset = {.l_onoff = 1};
    if (storm->rst && setsockopt(slot->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) < 0)
        die("SO_LINGER");
    close(slot->fd);
    slot->state = IDLE;
    storm->busy--;
}

static void fail(struct storm *storm, struct slot *slot, enum failure kind) {
    storm->failures[kind]++;
    close_slot(storm, slot);
}

static void fail_by_error(struct storm *storm, struct slot *slot, int error) {
    if (error == EADDRNOTAVAIL || error == EMFILE) { /* ours, not the server's */
        errno = error;
        die("connect");
    }
    fail(storm, slot, error == ECONNREFUSED ? REFUSED : error == ETIMEDOUT ? TIMEOUT : RESET);
}

static void open_slot(struct storm *storm, struct slot *slot) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = slot};

    *slot = (struct slot){.fd = socket_from(storm->opened % storm->sources), .state = CONNECTING,
                          .byte = (char)storm->opened, .started_ns = now_ns()};
    storm->opened++;
    storm->busy++;
    if (connect(slot->fd, (struct sockaddr *)&storm->server, sizeof storm->server) < 0 && errno != EINPROGRESS)
        fail_by_error(storm, slot, errno);
    else if (epoll_ctl(storm->epoll, EPOLL_CTL_ADD, slot->fd, &event) < 0)
        die("epoll_ctl");
}

static void on_connected(struct storm *storm, struct slot *slot) {
    int error = 0;
    socklen_t length = sizeof error;

    if (getsockopt(slot->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        die("SO_ERROR");
    if (error != 0)
        fail_by_error(storm, slot, error);
    else if (send(slot->fd, &slot->byte, 1, MSG_NOSIGNAL) != 1)
        fail(storm, slot, RESET);
    else
        slot->state = WAITING;
}

static void on_echo(struct storm *storm, struct slot *slot) {
    char byte;
    ssize_t length = recv(slot->fd, &byte, 1, 0);
    uint64_t now = now_ns();

    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0 || byte != slot->byte) {
        fail(storm, slot, length < 0 ? RESET : length == 0 ? CLOSED : WRONG);
        return;
    }
    if (now - storm->last_echo_ns > storm->longest_gap_ns)
        storm->longest_gap_ns = now - storm->last_echo_ns;
    storm->last_echo_ns = now;
    record(&storm->latency, now - slot->started_ns);
    close_slot(storm, slot);
}

static void on_ready(struct storm *storm, const struct epoll_event *event) {
    struct slot *slot = event->data.ptr;

    if (slot->state == CONNECTING && event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        on_connected(storm, slot);
    if (slot->state == WAITING && event->events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        on_echo(storm, slot);
}

/* Bounds the wait for every connection, and with it the end of the program. */
static void expire(struct storm *storm) {
    uint64_t now = now_ns();
    for (struct slot *slot = storm->slot; slot < storm->slot + storm->slots; slot++)
        if (slot->state != IDLE && now - slot->started_ns > storm->timeout_ms * MILLISECOND_NS)
            fail(storm, slot, TIMEOUT);
}

static int may_open(const struct storm *storm, uint64_t end_ns) {
    return !interrupted && (storm->count == 0 || storm->opened < storm->count) &&
           !(storm->until_refused && storm->failures[REFUSED]) && now_ns() < end_ns;
}

static void run(struct storm *storm) {
    static struct epoll_event ready[SLOTS_MAX];
    uint64_t start = now_ns(), end = start + storm->seconds * SECOND_NS, checked = start;

    storm->last_echo_ns = start;
    for (;;) {
        for (struct slot *slot = storm->slot; slot < storm->slot + storm->slots; slot++)
            if (slot->state == IDLE && may_open(storm, end))
                open_slot(storm, slot);
        if (storm->busy == 0 && !may_open(storm, end))
            return;
        /* Does not wait if the server refused all at once: they try again. */
        int count = epoll_wait(storm->epoll, ready, SLOTS_MAX, storm->busy ? LATE_CHECK_MS : 0);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++)
            on_ready(storm, &ready[i]);
        if (now_ns() - checked > LATE_CHECK_MS * MILLISECOND_NS) {
            expire(storm);
            checked = now_ns();
        }
    }
}

static void report(struct storm *storm, double elapsed_s) {
    printf("{\"connections\": %zu, \"opened\": %u, \"failures\": {", storm->latency.count, storm->opened);
    for (int kind = 0; kind < FAILURES; kind++)
        printf("%s\"%s\": %ju", kind ? ", " : "", failure_names[kind], (uintmax_t)storm->failures[kind]);
    printf("}, \"seconds\": %.6f, \"connections_per_s\": %.1f, \"cpu_s\": %.6f, \"longest_gap_ns\": %ju, ", elapsed_s,
           (double)storm->latency.count / elapsed_s, cpu_s(), (uintmax_t)storm->longest_gap_ns);
    print_samples("latency_ns", &storm->latency);
    printf("}\n");
}

static void parse(struct storm *storm, int argc, char **argv) {
    static const struct option flags[] = {
        {"slots", 1, NULL, 's'},   {"seconds", 1, NULL, 'd'}, {"count", 1, NULL, 'n'},
        {"sources", 1, NULL, 'a'}, {"rst", 0, NULL, 'r'},     {"until-refused", 0, NULL, 'u'},
        {"timeout-ms", 1, NULL, 't'}, {NULL, 0, NULL, 0},
    };
    int flag, index;

    while ((flag = getopt_long(argc, argv, "", flags, &index)) != -1) {
        switch (flag) {
        case 's': storm->slots = parse_number("slots", optarg, SLOTS_MAX); break;
        case 'd': storm->seconds = parse_number("seconds", optarg, 3600); break;
        case 'n': storm->count = parse_number("count", optarg, 100000000); break;
        case 'a': storm->sources = parse_number("sources", optarg, 250); break;
        case 't': storm->timeout_ms = parse_number("timeout-ms", optarg, 3600000); break;
        case 'r': storm->rst = 1; break;
        case 'u': storm->until_refused = 1; break;
        default: exit(2);
        }
    }
    if (optind + 1 != argc || storm->slots == 0 || storm->sources == 0) {
        fprintf(stderr, "usage: storm ADDRESS [--slots N] [--seconds S] [--count N] [--sources N] [--timeout-ms MS]\n"
                        "             [--rst] [--until-refused]\n");
        exit(2);
    }
    storm->server = parse_address(argv[optind]);
}

int main(int argc, char **argv) {
    static struct storm storm = {.slots = 64, .sources = 64, .seconds = 3, .timeout_ms = 5000};

    parse(&storm, argc, argv);
    signal(SIGINT, on_interrupt);
    storm.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (storm.epoll < 0)
        die("epoll_create1");
    uint64_t start = now_ns();
    run(&storm);
    report(&storm, (double)(now_ns() - start) / 1e9);
}
