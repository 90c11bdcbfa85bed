/* unequal: long-lived connections of unequal rate, each with a schedule of its own that does not wait for replies.
 *
 * The due times of requests are drawn beforehand (exponential gaps, seeded by the connection's number). Response time
 * counts from the due time, not from the send: a server that makes requests wait cannot hide it. A connection has one
 * request in flight at a time; the next ones wait in this client for its answer, and their response time runs.
 *
 * The client opens one connection after the other, with a gap between them. Each sends at once, so that placement by
 * load finds a load. While hot ones remain, every second connection is hot: with two workers, round robin places all
 * hot ones on the same worker.
 *
 *     unequal 127.0.0.1:7000 --hot 4 --hot-rate 800 --cold 28 --cold-rate 20 --seconds 5
 *
 * Prints one line of JSON: response times of the requests due in the measured time, and how late this client itself
 * sent them (after they were due and the connection was free).
 */
#include "client.h"
#include <math.h>
#include <sys/prctl.h>

enum {
    CONNECTIONS_MAX = 250,   /* each has a source address of its own */
    MESSAGE_BYTES = 16,
    GRACE_S = 5,             /* for answers after the measured time */
};

struct connection {
    int fd, hot, in_flight;
    unsigned rate_per_s;
    size_t received;
    uint64_t due_ns, free_ns; /* of the next request, or the one in flight; since when the connection is free */
    uint64_t random;
};

struct run {
    struct sockaddr_in server;
    unsigned hot, hot_rate, cold, cold_rate, gap_ms, warmup_ms, seconds;
    unsigned connected, ended; /* connections in all, and those the server ended */
    int epoll;
    uint64_t start_ns, from_ns, until_ns; /* of the connects; of the measured time */
    struct samples response[2], lateness; /* by cold and hot */
    struct connection connection[CONNECTIONS_MAX];
};

/* Above 0, at most 1, by SplitMix64. */
static double next_fraction(struct connection *connection) {
    uint64_t mixed = connection->random += UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94D049BB133111EB);
    mixed ^= mixed >> 31;
    return (double)((mixed >> 11) + 1) / (double)(UINT64_C(1) << 53);
}

static void schedule(struct connection *connection) {
    connection->due_ns += (uint64_t)(-log(next_fraction(connection)) * 1e9 / connection->rate_per_s);
}

static int is_measured(const struct run *run, uint64_t due_ns) {
    return due_ns >= run->from_ns && due_ns < run->until_ns;
}

static int is_hot(const struct run *run, unsigned number) {
    unsigned pairs = run->hot < run->cold ? run->hot : run->cold;
    return number < 2 * pairs ? number % 2 == 0 : run->hot > run->cold;
}

static void connect_next(struct run *run) {
    unsigned number = run->connected++;
    struct connection *connection = &run->connection[number];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    int hot = is_hot(run, number), fd = socket_from(number);

    if (connect(fd, (struct sockaddr *)&run->server, sizeof run->server) < 0 && errno != EINPROGRESS)
        die("connect");
    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
    *connection = (struct connection){.fd = fd, .hot = hot, .rate_per_s = hot ? run->hot_rate : run->cold_rate,
                                      .due_ns = now_ns(), .free_ns = now_ns(), .random = number};
    schedule(connection);
}

static void end(struct run *run, struct connection *connection) {
    close(connection->fd);
    connection->fd = -1;
    run->ended++;
}

static void send_due(struct run *run, struct connection *connection) {
    static const char message[MESSAGE_BYTES];
    uint64_t now = now_ns(), due = connection->due_ns, could = due > connection->free_ns ? due : connection->free_ns;

    if (send(connection->fd, message, sizeof message, MSG_NOSIGNAL) != sizeof message) {
        if (errno != EAGAIN) /* not connected yet: it tries again later */
            end(run, connection);
        return;
    }
    connection->in_flight = 1;
    if (is_measured(run, connection->due_ns))
        record(&run->lateness, now - could);
}

static void on_readable(struct run *run, struct connection *connection) {
    char bytes[MESSAGE_BYTES];
    ssize_t length = recv(connection->fd, bytes, sizeof bytes, 0);

    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0 || !connection->in_flight) {
        end(run, connection);
        return;
    }
    connection->received += (size_t)length;
    if (connection->received < MESSAGE_BYTES)
        return;
    connection->received = 0;
    connection->in_flight = 0;
    connection->free_ns = now_ns();
    if (is_measured(run, connection->due_ns))
        record(&run->response[connection->hot], connection->free_ns - connection->due_ns);
    schedule(connection);
}

/* Sends the requests and opens the connections that are due. Returns when the next one is due; 0 if none is left. */
static uint64_t advance(struct run *run) {
    uint64_t now = now_ns(), next = UINT64_MAX;
    int is_waiting = 0;

    while (run->connected < run->hot + run->cold) {
        uint64_t due = run->start_ns + (uint64_t)run->connected * run->gap_ms * MILLISECOND_NS;
        next = due;
        if (due > now)
            break;
        connect_next(run);
    }
    for (struct connection *c = run->connection; c < run->connection + run->connected; c++) {
        if (c->fd >= 0 && !c->in_flight && c->due_ns <= now && c->due_ns < run->until_ns)
            send_due(run, c);
        if (c->fd < 0 || c->due_ns >= run->until_ns)
            continue;
        is_waiting = 1;
        if (!c->in_flight && c->due_ns < next)
            next = c->due_ns;
    }
    return is_waiting || now < run->from_ns ? next : 0;
}

static void drive(struct run *run) {
    struct epoll_event ready[CONNECTIONS_MAX];
    uint64_t next;

    run->start_ns = now_ns();
    run->from_ns = run->start_ns + ((uint64_t)(run->hot + run->cold) * run->gap_ms + run->warmup_ms) * MILLISECOND_NS;
    run->until_ns = run->from_ns + run->seconds * SECOND_NS;
    while ((next = advance(run)) != 0 && now_ns() < run->until_ns + GRACE_S * SECOND_NS) {
        uint64_t now = now_ns(), wait = next > now ? next - now : 0;
        if (wait > SECOND_NS / 10)
            wait = SECOND_NS / 10;
        struct timespec timeout = {.tv_nsec = (long)wait};
        int count = epoll_pwait2(run->epoll, ready, CONNECTIONS_MAX, &timeout, NULL);
        if (count < 0 && errno != EINTR)
            die("epoll_pwait2");
        for (int i = 0; i < count; i++)
            on_readable(run, ready[i].data.ptr);
    }
}

/* Requests due in the measured time that have no answer: the one in flight, and those that wait behind it. */
static size_t count_unanswered(struct run *run) {
    size_t unanswered = 0;
    for (struct connection *c = run->connection; c < run->connection + run->connected; c++)
        for (; c->due_ns < run->until_ns; schedule(c))
            unanswered += is_measured(run, c->due_ns);
    return unanswered;
}

static void report(struct run *run) {
    struct samples all = {0};
    for (int hot = 0; hot < 2; hot++)
        for (size_t i = 0; i < run->response[hot].count; i++)
            record(&all, run->response[hot].ns[i]);
    printf("{\"connections\": %u, \"ended_by_server\": %u, \"requests\": %zu, \"unanswered\": %zu, \"cpu_s\": %.6f, ",
           run->connected, run->ended, all.count, count_unanswered(run), cpu_s());
    printf("\"response_ns\": {");
    print_samples("all", &all);
    printf(", ");
    print_samples("hot", &run->response[1]);
    printf(", ");
    print_samples("cold", &run->response[0]);
    printf("}, ");
    print_samples("lateness_ns", &run->lateness);
    printf("}\n");
}

static void parse(struct run *run, int argc, char **argv) {
    static const struct option flags[] = {
        {"hot", 1, NULL, 'h'},    {"hot-rate", 1, NULL, 'H'},  {"cold", 1, NULL, 'c'},    {"cold-rate", 1, NULL, 'C'},
        {"gap-ms", 1, NULL, 'g'}, {"warmup-ms", 1, NULL, 'w'}, {"seconds", 1, NULL, 's'}, {NULL, 0, NULL, 0},
    };
    int flag;

    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        switch (flag) {
        case 'h': run->hot = parse_number("hot", optarg, CONNECTIONS_MAX); break;
        case 'H': run->hot_rate = parse_number("hot-rate", optarg, 1000000); break;
        case 'c': run->cold = parse_number("cold", optarg, CONNECTIONS_MAX); break;
        case 'C': run->cold_rate = parse_number("cold-rate", optarg, 1000000); break;
        case 'g': run->gap_ms = parse_number("gap-ms", optarg, 10000); break;
        case 'w': run->warmup_ms = parse_number("warmup-ms", optarg, 60000); break;
        case 's': run->seconds = parse_number("seconds", optarg, 3600); break;
        default: exit(2);
        }
    }
    unsigned connections = run->hot + run->cold;
    if (optind + 1 != argc || connections == 0 || connections > CONNECTIONS_MAX || !run->hot_rate || !run->cold_rate) {
        fprintf(stderr, "usage: unequal ADDRESS [--hot N] [--hot-rate PER_S] [--cold N] [--cold-rate PER_S]\n"
                        "               [--gap-ms MS] [--warmup-ms MS] [--seconds S]   (1 to %d connections)\n",
                CONNECTIONS_MAX);
        exit(2);
    }
    run->server = parse_address(argv[optind]);
}

int main(int argc, char **argv) {
    static struct run run = {.hot = 4, .hot_rate = 800, .cold = 28, .cold_rate = 20,
                             .gap_ms = 20, .warmup_ms = 1000, .seconds = 5};

    parse(&run, argc, argv);
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (run.epoll < 0)
        die("epoll_create1");
    prctl(PR_SET_TIMERSLACK, 1UL); /* or the kernel may wake this client 50 us late */
    drive(&run);
    report(&run);
}
