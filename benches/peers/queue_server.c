/* queue_server: a TCP server whose queue and service times are known exactly.
 *
 * It is a queueing model on real sockets: one FIFO queue with C virtual servers, which echoes requests of a fixed size.
 * A request that arrives at t begins its service when a virtual server is free, at t or later. Its reply is sent at
 * the end of its service. No service uses processor time: the program computes when it ends, and waits. So theory
 * gives the distribution of the response times, and many of these servers run beside each other on one processor.
 *
 *     queue_server [PORT | 127.0.0.1:PORT] [flags]      0 or nothing takes a free port; --help lists the flags
 *
 * The first line on stdout is "listening on 127.0.0.1:PORT". SIGTERM ends it: it writes its log to the end, and prints
 * one line of JSON with what it counted. Replies of one connection are sent in the order of its requests.
 */
#include "listen.h"
#include "service_time.h"

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

enum {
    DESCRIPTORS_MAX = 65536,
    SERVERS_MAX = 1024,
    WAITING_MAX = 1 << 20, /* at 10,000/s above capacity, a run of 100 s */
    SPIN_NS = 100 * 1000,  /* a wake-up by a timer is hardly ever later */
};

static const char USAGE[] =
    "usage: queue_server [PORT | 127.0.0.1:PORT] [flags]\n"
    "\n"
    "  --servers C               virtual servers, which share one FIFO queue (default 1)\n"
    "  --request-bytes N         size of a request and of its reply (default 64)\n"
    "  --service TIME            constant:10ms, exp:10ms (mean), pareto:ALPHA,MINIMUM, or\n"
    "                            bimodal:SHORT,LONG,SHARE, where SHARE is that of the long ones (default constant:1ms)\n"
    "  --seed N                  seed of the service times and of the faults (default 1)\n"
    "  --backlog D               work of each virtual server that the first request finds (default 0ns)\n"
    "  --spin                    use the processor for the last 100 us of each wait, for precise times\n"
    "  --log FILE                write the times of every request to FILE, in ns of CLOCK_MONOTONIC\n"
    "\n"
    "faults:\n"
    "  --reset-share P           reset the connection instead of a reply, with probability P\n"
    "  --close-share P           close the connection instead of a reply\n"
    "  --wrong-byte-share P      change a byte of a reply\n"
    "  --refuse-after N          stop listening after N accepted connections\n"
    "  --stall AT,LENGTH         stand still for LENGTH, from AT after the first request; all service pauses\n"
    "  --slow-read D             read at most one request of a connection every D\n"
    "\n"
    "Durations are 500us, 10ms, 2s.\n";

/* What the server does at a time. All but READ_AGAIN are the outcome of a request. */
enum what { REPLY, WRONG_BYTE, RESET, CLOSE, READ_AGAIN };

/* As the log has it. A request whose connection has ended is dropped. It has used its service time nevertheless. */
static const char *const OUTCOMES[] = {"reply", "wrong-byte", "reset", "close"};

struct action {
    uint64_t due_ns, number; /* the number decides between two of the same time */
    enum what what;
    int fd;
    uint64_t connection; /* its number, because a later connection may have the same descriptor */
    uint64_t arrival_ns, begin_ns, completion_ns;
    char bytes[];
};

struct connection {
    uint64_t number;
    uint64_t last_due_ns; /* when the reply of its last request is sent */
    size_t received;      /* bytes of a request that is not complete */
    size_t unsent;
    char *output; /* bytes that the socket did not take; NULL if there are none */
    int is_ended; /* the server closed its side, and discards what the client sends */
    char request[];
};

struct server {
    struct service service;
    unsigned servers, refuse_after;
    size_t request_bytes;
    uint64_t backlog_ns, stall_at_ns, stall_ns, slow_read_ns;
    double reset_share, close_share, wrong_byte_share;
    int spins;
    FILE *log;

    int epoll, listener;
    uint64_t service_random, fault_random;
    uint64_t free_ns[SERVERS_MAX]; /* when each virtual server is free */
    struct action **heap;          /* the earliest first */
    size_t waiting, capacity;
    struct connection *connections[DESCRIPTORS_MAX]; /* by descriptor */
    uint64_t first_ns, accepted, requests, replies, faults, dropped, numbered;
    uint64_t late_sum_ns, late_max_ns; /* of the replies, after their due time */
};

static volatile sig_atomic_t is_stopping;

static void on_signal(int number) {
    (void)number;
    is_stopping = 1;
}

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND_NS + (uint64_t)time.tv_nsec;
}

/* One draw for each request, whatever the shares are, so that one fault does not change where another occurs. */
static enum what next_outcome(struct server *server) {
    double reset = next_fraction(&server->fault_random), closed = next_fraction(&server->fault_random),
           wrong = next_fraction(&server->fault_random);
    return reset <= server->reset_share ? RESET
         : closed <= server->close_share ? CLOSE
         : wrong <= server->wrong_byte_share ? WRONG_BYTE : REPLY;
}

static int is_before(const struct action *a, const struct action *b) {
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

static void push(struct server *server, struct action *action) {
    if (server->waiting == server->capacity) {
        if (server->capacity == WAITING_MAX) {
            fprintf(stderr, "%d requests wait: lower the rate, or shorten the run\n", WAITING_MAX);
            exit(EXIT_FAILURE);
        }
        server->capacity = server->capacity ? 2 * server->capacity : 1024;
        server->heap = realloc(server->heap, server->capacity * sizeof(struct action *));
        if (server->heap == NULL)
            die("realloc");
    }
    size_t at = server->waiting++;
    for (size_t above; at > 0 && is_before(action, server->heap[above = (at - 1) / 2]); at = above)
        server->heap[at] = server->heap[above];
    server->heap[at] = action;
}

static struct action *pop(struct server *server) {
    struct action *first = server->heap[0], *last = server->heap[--server->waiting];
    size_t at = 0;

    for (size_t below; (below = 2 * at + 1) < server->waiting; at = below) {
        if (below + 1 < server->waiting && is_before(server->heap[below + 1], server->heap[below]))
            below++;
        if (is_before(last, server->heap[below]))
            break;
        server->heap[at] = server->heap[below];
    }
    server->heap[at] = last;
    return first;
}

static struct action *new_action(struct server *server, enum what what, int fd, size_t bytes) {
    struct action *action = malloc(sizeof *action + bytes);
    if (action == NULL)
        die("malloc");
    *action = (struct action){
        .number = server->numbered++, .what = what, .fd = fd, .connection = server->connections[fd]->number};
    return action;
}

/* A request is complete: it takes its turn in the queue. */
static void enqueue(struct server *server, int fd, uint64_t arrival_ns) {
    struct connection *connection = server->connections[fd];
    struct action *action = new_action(server, next_outcome(server), fd, server->request_bytes);
    unsigned chosen = 0;

    if (server->requests++ == 0) {
        server->first_ns = arrival_ns;
        for (unsigned i = 0; i < server->servers; i++)
            server->free_ns[i] = arrival_ns + server->backlog_ns;
    }
    for (unsigned i = 1; i < server->servers; i++)
        if (server->free_ns[i] < server->free_ns[chosen])
            chosen = i;
    action->arrival_ns = arrival_ns;
    action->begin_ns = arrival_ns > server->free_ns[chosen] ? arrival_ns : server->free_ns[chosen];
    action->completion_ns = server->free_ns[chosen] = action->begin_ns + next_service_ns(&server->service, &server->service_random);
    /* With several virtual servers, a later request may be complete before an earlier one of its connection. */
    action->due_ns = action->completion_ns > connection->last_due_ns ? action->completion_ns : connection->last_due_ns;
    connection->last_due_ns = action->due_ns;
    memcpy(action->bytes, connection->request, server->request_bytes);
    push(server, action);
}

static void watch_connection(struct server *server, int fd, int is_reading) {
    const struct connection *connection = server->connections[fd];
    uint32_t events = (is_reading ? EPOLLIN : 0) | (connection->output != NULL ? EPOLLOUT : 0);
    watch(server->epoll, EPOLL_CTL_MOD, fd, events, (uint64_t)fd);
}

static void end_connection(struct server *server, int fd) {
    free(server->connections[fd]->output);
    free(server->connections[fd]);
    server->connections[fd] = NULL;
    close(fd); /* this also takes it out of the epoll set */
}

static void accept_connections(struct server *server) {
    for (int on = 1, fd; server->listener >= 0 && (fd = accept_next(server->listener)) >= 0;) {
        if (fd >= DESCRIPTORS_MAX || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
            die("accepted connection");
        struct connection *connection = calloc(1, sizeof *connection + server->request_bytes);
        if (connection == NULL)
            die("calloc");
        connection->number = server->accepted++;
        server->connections[fd] = connection;
        watch(server->epoll, EPOLL_CTL_ADD, fd, EPOLLIN, (uint64_t)fd);
        if (server->accepted == server->refuse_after) {
            close(server->listener);
            server->listener = -1;
        }
    }
}

static void on_readable(struct server *server, int fd) {
    struct connection *connection = server->connections[fd];
    size_t most = server->slow_read_ns ? server->request_bytes - connection->received : RECV_MAX;
    ssize_t length = recv(fd, received, most < RECV_MAX ? most : RECV_MAX, 0);
    uint64_t arrival_ns = now_ns();

    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length <= 0) {
        end_connection(server, fd);
        return;
    }
    if (connection->is_ended)
        return;
    for (size_t at = 0, part; at < (size_t)length; at += part) {
        size_t missing = server->request_bytes - connection->received;
        part = (size_t)length - at < missing ? (size_t)length - at : missing;
        memcpy(connection->request + connection->received, received + at, part);
        connection->received += part;
        if (connection->received == server->request_bytes) {
            connection->received = 0;
            enqueue(server, fd, arrival_ns);
        }
    }
    if (server->slow_read_ns) {
        struct action *again = new_action(server, READ_AGAIN, fd, 0);
        again->due_ns = arrival_ns + server->slow_read_ns;
        push(server, again);
        watch_connection(server, fd, 0);
    }
}

/* Sends the pending output, or ends a broken connection. */
static void on_writable(struct server *server, int fd) {
    struct connection *connection = server->connections[fd];
    ssize_t sent = send_some(fd, connection->output, connection->unsent);

    if (sent < 0) {
        end_connection(server, fd);
        return;
    }
    connection->unsent -= (size_t)sent;
    memmove(connection->output, connection->output + sent, connection->unsent);
    if (connection->unsent > 0)
        return;
    free(connection->output);
    connection->output = NULL;
    watch_connection(server, fd, 1);
}

static void reply(struct server *server, int fd, const char *bytes) {
    struct connection *connection = server->connections[fd];
    ssize_t sent = connection->output == NULL ? send_some(fd, bytes, server->request_bytes) : 0;

    if (sent < 0) {
        end_connection(server, fd);
    } else if ((size_t)sent < server->request_bytes) {
        size_t more = server->request_bytes - (size_t)sent;
        connection->output = realloc(connection->output, connection->unsent + more);
        if (connection->output == NULL)
            die("realloc");
        memcpy(connection->output + connection->unsent, bytes + sent, more);
        connection->unsent += more;
        watch_connection(server, fd, 0); /* a client that does not read is not read from */
    }
}

static void reset(struct server *server, int fd) {
    struct linger linger = {.l_onoff = 1};
    if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) < 0)
        die("SO_LINGER");
    end_connection(server, fd);
}

static void log_request(struct server *server, const struct action *action, uint64_t sent_ns, const char *outcome) {
    if (server->log != NULL)
        fprintf(server->log, "%ju %ju %ju %ju %ju %ju %s\n", (uintmax_t)action->number, (uintmax_t)action->connection,
                (uintmax_t)action->arrival_ns, (uintmax_t)action->begin_ns, (uintmax_t)action->completion_ns,
                (uintmax_t)sent_ns, outcome);
}

static void answer(struct server *server, struct action *action, uint64_t now) {
    int fd = action->fd;
    uint64_t late_ns = now - action->due_ns;

    log_request(server, action, now, OUTCOMES[action->what]);
    server->late_sum_ns += late_ns;
    if (late_ns > server->late_max_ns)
        server->late_max_ns = late_ns;
    server->replies += action->what == REPLY;
    server->faults += action->what != REPLY;
    switch (action->what) {
    case WRONG_BYTE:
        action->bytes[action->number % server->request_bytes] ^= 1;
        reply(server, fd, action->bytes);
        break;
    case RESET:
        reset(server, fd);
        break;
    case CLOSE:
        server->connections[fd]->is_ended = 1;
        if (shutdown(fd, SHUT_WR) < 0)
            end_connection(server, fd);
        break;
    default:
        reply(server, fd, action->bytes);
    }
}

static void act(struct server *server, struct action *action, uint64_t now) {
    struct connection *connection = server->connections[action->fd];
    int is_open = connection != NULL && connection->number == action->connection;

    if (action->what == READ_AGAIN) {
        if (is_open && connection->output == NULL)
            watch_connection(server, action->fd, 1);
    } else if (is_open && !connection->is_ended) {
        answer(server, action, now);
    } else {
        server->dropped++;
        log_request(server, action, 0, "dropped");
    }
    free(action);
}

/* Stands still. The service that is not complete goes on afterwards: its end moves by the length of the stall. */
static void stall(struct server *server, const sigset_t *unblocked) {
    uint64_t at = server->first_ns + server->stall_at_ns, until = at + server->stall_ns;

    for (uint64_t now; !is_stopping && (now = now_ns()) < until;) {
        struct timespec left = {.tv_sec = (time_t)((until - now) / SECOND_NS), .tv_nsec = (long)((until - now) % SECOND_NS)};
        ppoll(NULL, 0, &left, unblocked);
    }
    for (size_t i = 0; i < server->waiting; i++) {
        struct action *action = server->heap[i];
        action->due_ns += server->stall_ns;
        action->completion_ns += action->completion_ns > at ? server->stall_ns : 0;
        action->begin_ns += action->begin_ns > at ? server->stall_ns : 0;
    }
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
        if (server->connections[fd] != NULL)
            server->connections[fd]->last_due_ns += server->stall_ns;
    for (unsigned i = 0; i < server->servers; i++)
        server->free_ns[i] += server->free_ns[i] > at ? server->stall_ns : 0;
    server->stall_ns = 0;
}

/* Waits for readiness until the next action, or the stall. */
static int wait_ready(struct server *server, struct epoll_event *ready, const sigset_t *unblocked) {
    uint64_t due = server->waiting > 0 ? server->heap[0]->due_ns : UINT64_MAX, now = now_ns();
    if (server->stall_ns > 0 && server->requests > 0 && server->first_ns + server->stall_at_ns < due)
        due = server->first_ns + server->stall_at_ns;
    uint64_t wait = due > now ? due - now : 0;
    if (server->spins && due != UINT64_MAX)
        wait = wait > SPIN_NS ? wait - SPIN_NS : 0;
    struct timespec timeout = {.tv_sec = (time_t)(wait / SECOND_NS), .tv_nsec = (long)(wait % SECOND_NS)};
    int count = epoll_pwait2(server->epoll, ready, EVENTS_MAX, due == UINT64_MAX ? NULL : &timeout, unblocked);
    if (count < 0 && errno != EINTR)
        die("epoll_pwait2");
    return count;
}

static void serve(struct server *server, const sigset_t *unblocked) {
    static struct epoll_event ready[EVENTS_MAX];

    while (!is_stopping) {
        int count = wait_ready(server, ready, unblocked);
        if (server->stall_ns > 0 && server->requests > 0 && now_ns() >= server->first_ns + server->stall_at_ns)
            stall(server, unblocked);
        for (uint64_t now; server->waiting > 0 && server->heap[0]->due_ns <= (now = now_ns());)
            act(server, pop(server), now);
        for (int i = 0; i < count; i++) {
            int fd = (int)ready[i].data.u64;
            if (fd == server->listener)
                accept_connections(server);
            else if (server->connections[fd] != NULL && ready[i].events & EPOLLOUT)
                on_writable(server, fd);
            else if (server->connections[fd] != NULL)
                on_readable(server, fd);
        }
    }
}

static void report(struct server *server) {
    while (server->waiting > 0) {
        struct action *action = pop(server);
        if (action->what != READ_AGAIN)
            log_request(server, action, 0, "unsent");
        free(action);
    }
    if (server->log != NULL && fclose(server->log) != 0)
        die("--log");
    uint64_t answered = server->replies + server->faults;
    printf("{\"connections\": %ju, \"requests\": %ju, \"replies\": %ju, \"faults\": %ju, \"dropped\": %ju, "
           "\"late_mean_ns\": %ju, \"late_max_ns\": %ju}\n",
           (uintmax_t)server->accepted, (uintmax_t)server->requests, (uintmax_t)server->replies,
           (uintmax_t)server->faults, (uintmax_t)server->dropped,
           (uintmax_t)(answered ? server->late_sum_ns / answered : 0), (uintmax_t)server->late_max_ns);
}

static uint64_t parse_duration(const char *flag, const char *text) {
    double ns;
    const char *end = scan_duration(text, &ns);
    if (end == NULL || *end != '\0')
        refuse(flag, text, "a duration such as 10ms, at most 3600s");
    return (uint64_t)llround(ns);
}

static unsigned parse_count(const char *flag, const char *text, unsigned least, unsigned most) {
    char *end, expected[64];
    unsigned long number = strtoul(text, &end, 10);
    snprintf(expected, sizeof expected, "a whole number from %u to %u", least, most);
    if (*text < '0' || *text > '9' || *end != '\0' || number < least || number > most)
        refuse(flag, text, expected);
    return (unsigned)number;
}

static void parse_stall(struct server *server, const char *text) {
    double at, length;
    const char *end = scan_duration(text, &at);
    if (end != NULL)
        end = *end == ',' ? scan_duration(end + 1, &length) : NULL;
    if (end == NULL || *end != '\0')
        refuse("--stall", text, "two durations such as 2s,500ms");
    server->stall_at_ns = (uint64_t)llround(at);
    server->stall_ns = (uint64_t)llround(length);
}

static FILE *open_log(const char *path) {
    FILE *log = fopen(path, "we");
    if (log == NULL)
        die(path);
    fputs("request connection arrival_ns begin_ns completion_ns sent_ns outcome\n", log);
    return log;
}

static void parse_flag(struct server *server, int flag, const char *name, const char *text) {
    switch (flag) {
    case 'c': server->servers = parse_count(name, text, 1, SERVERS_MAX); break;
    case 'n': server->request_bytes = parse_count(name, text, 1, 1 << 20); break;
    case 't': server->service = parse_service(text); break;
    case 'r': server->service_random = server->fault_random = parse_count(name, text, 0, UINT32_MAX); break;
    case 'b': server->backlog_ns = parse_duration(name, text); break;
    case 's': server->spins = 1; break;
    case 'l': server->log = open_log(text); break;
    case 'R': server->reset_share = parse_share(name, text); break;
    case 'C': server->close_share = parse_share(name, text); break;
    case 'W': server->wrong_byte_share = parse_share(name, text); break;
    case 'A': server->refuse_after = parse_count(name, text, 1, UINT32_MAX); break;
    case 'S': parse_stall(server, text); break;
    case 'P': server->slow_read_ns = parse_duration(name, text); break;
    case 'h': fputs(USAGE, stdout); exit(EXIT_SUCCESS);
    default: exit(2); /* getopt_long has printed what is wrong */
    }
}

/* Returns the port. */
static uint16_t parse(struct server *server, int argc, char **argv) {
    static const struct option flags[] = {
        {"servers", 1, NULL, 'c'},      {"request-bytes", 1, NULL, 'n'},    {"service", 1, NULL, 't'},
        {"seed", 1, NULL, 'r'},         {"backlog", 1, NULL, 'b'},          {"spin", 0, NULL, 's'},
        {"log", 1, NULL, 'l'},          {"reset-share", 1, NULL, 'R'},      {"close-share", 1, NULL, 'C'},
        {"refuse-after", 1, NULL, 'A'}, {"wrong-byte-share", 1, NULL, 'W'}, {"stall", 1, NULL, 'S'},
        {"slow-read", 1, NULL, 'P'},    {"help", 0, NULL, 'h'},             {NULL, 0, NULL, 0},
    };
    static const char host[] = "127.0.0.1:";

    for (int flag, index = 0; (flag = getopt_long(argc, argv, "", flags, &index)) != -1;) {
        char name[32];
        snprintf(name, sizeof name, "--%s", flags[index].name);
        parse_flag(server, flag, name, optarg);
    }
    if (argc - optind > 1)
        refuse("the argument", argv[optind + 1], "needed after the port");
    const char *text = argc > optind ? argv[optind] : "0";
    if (strncmp(text, host, sizeof host - 1) == 0)
        text += sizeof host - 1;
    return (uint16_t)parse_count("the port", text, 0, UINT16_MAX);
}

int main(int argc, char **argv) {
    static struct server server = {.service = {.kind = CONSTANT, .a = 1e6}, .servers = 1, .request_bytes = 64,
                                   .service_random = 1, .fault_random = 1};
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t ends, unblocked;
    uint16_t port = parse(&server, argc, argv);

    /* The first draw of each decides the rest, so near seeds have unlike streams. */
    server.service_random = (uint64_t)(next_fraction(&server.service_random) * 0x1p53);
    server.fault_random = ~(uint64_t)(next_fraction(&server.fault_random) * 0x1p53);
    /* Signals arrive only while it waits, so none is missed between a check and a wait. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    if (sigprocmask(SIG_BLOCK, &ends, &unblocked) < 0 || sigaction(SIGTERM, &action, NULL) < 0 ||
        sigaction(SIGINT, &action, NULL) < 0)
        die("sigaction");
    prctl(PR_SET_TIMERSLACK, 1UL); /* or the kernel may wake it 50 us late */
    server.listener = listen_on(port);
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (server.epoll < 0)
        die("epoll_create1");
    watch(server.epoll, EPOLL_CTL_ADD, server.listener, EPOLLIN, (uint64_t)server.listener);
    serve(&server, &unblocked);
    report(&server);
}
