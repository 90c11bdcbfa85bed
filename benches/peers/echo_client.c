/* echo_client: the least that a client in a closed loop can cost.
 *
 * One thread, level-triggered epoll, and per reply one recv and one send: a connection has one request in flight, and
 * sends the next one after its echo. It reads the clock directly before each send and directly after each receive, as
 * any client must that reports how long a request took. It stores no distribution and compares no byte: its cost is the
 * kernel's. What a load generator costs more is that generator's own cost.
 *
 *     echo_client 127.0.0.1:7000 --connections 50 --size 64 --seconds 3
 *
 * Prints one line of JSON: how many requests were answered, their mean time, and the CPU time of this process.
 */
#include "client.h"

enum {
    CONNECTIONS_MAX = 20000,
    SIZE_MAX_BYTES = 16 * 1024, /* fits any socket buffer, so a send is never short */
    EVENTS_MAX = 1024,
};

struct connection {
    int fd;
    size_t received; /* of the echo in flight */
    uint64_t sent_ns;
};

struct run {
    struct sockaddr_in server;
    unsigned connections, size, seconds;
    int epoll;
    uint64_t answered, service_ns; /* requests, and their times added up */
    struct connection connection[CONNECTIONS_MAX];
};

static char bytes[SIZE_MAX_BYTES];

static void send_next(const struct run *run, struct connection *connection) {
    connection->sent_ns = now_ns();
    connection->received = 0;
    if (send(connection->fd, bytes, run->size, MSG_NOSIGNAL) != (ssize_t)run->size)
        die("send");
}

static void open_connection(struct run *run, struct connection *connection) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&run->server, sizeof run->server) < 0)
        die("connect");
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        die("TCP_NODELAY");
    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
    connection->fd = fd;
}

static void on_readable(struct run *run, struct connection *connection) {
    static char echo[SIZE_MAX_BYTES];
    ssize_t length = recv(connection->fd, echo, run->size - connection->received, MSG_DONTWAIT);
    uint64_t received_ns = now_ns();

    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length <= 0)
        die("recv");
    connection->received += (size_t)length;
    if (connection->received < run->size)
        return;
    run->answered++;
    run->service_ns += received_ns - connection->sent_ns;
    send_next(run, connection);
}

static void drive(struct run *run) {
    static struct epoll_event ready[EVENTS_MAX];
    uint64_t until_ns = now_ns() + run->seconds * SECOND_NS;

    for (unsigned i = 0; i < run->connections; i++)
        send_next(run, &run->connection[i]);
    while (now_ns() < until_ns) {
        int count = epoll_wait(run->epoll, ready, EVENTS_MAX, 100);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++)
            on_readable(run, ready[i].data.ptr);
    }
}

static void parse(struct run *run, int argc, char **argv) {
    static const struct option flags[] = {
        {"connections", 1, NULL, 'c'}, {"size", 1, NULL, 's'}, {"seconds", 1, NULL, 'd'}, {NULL, 0, NULL, 0},
    };
    int flag;

    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        switch (flag) {
        case 'c': run->connections = parse_number("connections", optarg, CONNECTIONS_MAX); break;
        case 's': run->size = parse_number("size", optarg, SIZE_MAX_BYTES); break;
        case 'd': run->seconds = parse_number("seconds", optarg, 3600); break;
        default: exit(2);
        }
    }
    if (optind + 1 != argc || run->connections == 0 || run->size == 0) {
        fprintf(stderr, "usage: echo_client ADDRESS [--connections N] [--size BYTES] [--seconds S]\n");
        exit(2);
    }
    run->server = parse_address(argv[optind]);
}

int main(int argc, char **argv) {
    static struct run run = {.connections = 50, .size = 64, .seconds = 3};

    parse(&run, argc, argv);
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (run.epoll < 0)
        die("epoll_create1");
    for (unsigned i = 0; i < run.connections; i++)
        open_connection(&run, &run.connection[i]);
    drive(&run);
    printf("{\"requests\": %ju, \"service_mean_ns\": %ju, \"cpu_s\": %.6f}\n", (uintmax_t)run.answered,
           (uintmax_t)(run.answered ? run.service_ns / run.answered : 0), cpu_s());
}
