/* bare_send: the least that a broadcast can cost.
 *
 * One thread, level-triggered epoll, and one send for each subscriber, in the order in which they came. It answers as much
 * of the protocol of examples/broker.rs as its client uses: a line "SUBSCRIBE TOPIC" makes its sender a subscriber, and
 * "PUBLISH TOPIC TEXT" sends "MESSAGE TOPIC TEXT" to all of them, whatever the topic.
 *
 *     bare_send [PORT]      listens on 127.0.0.1:PORT; 0 or nothing takes a free port
 *
 * The first line on stdout is "listening on 127.0.0.1:PORT". SIGTERM ends the process by its default action. A request
 * must arrive whole, and a subscriber must read: anything else ends the process, because the run would not be valid.
 */
#include "listen.h"

static int *subscribers;
static size_t subscribers_count, subscribers_capacity;

static void send_all(int fd, const char *bytes, size_t length) {
    if (send_some(fd, bytes, length) != (ssize_t)length)
        die("send to a subscriber that does not read");
}

static void subscribe(int fd, const char *topic, size_t length) {
    char answer[RECV_MAX + 16];
    if (subscribers_count == subscribers_capacity) {
        subscribers_capacity = subscribers_capacity * 2 + 1024;
        subscribers = realloc(subscribers, subscribers_capacity * sizeof *subscribers);
        if (subscribers == NULL)
            die("realloc");
    }
    subscribers[subscribers_count++] = fd;
    memcpy(answer, "subscribed ", 11);
    memcpy(answer + 11, topic, length);
    send_all(fd, answer, length + 11);
}

static void publish(const char *topic_and_text, size_t length) {
    static char message[RECV_MAX + 16];
    memcpy(message, "MESSAGE ", 8);
    memcpy(message + 8, topic_and_text, length);
    for (size_t i = 0; i < subscribers_count; i++)
        send_all(subscribers[i], message, length + 8);
}

static void serve(int fd) {
    ssize_t length = recv(fd, received, RECV_MAX, 0);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length <= 0) { /* only when the client ends, which is when no more is published */
        close(fd);
    } else if (length > 10 && received[length - 1] == '\n' && memcmp(received, "SUBSCRIBE ", 10) == 0) {
        subscribe(fd, received + 10, (size_t)length - 10);
    } else if (length > 8 && received[length - 1] == '\n' && memcmp(received, "PUBLISH ", 8) == 0) {
        publish(received + 8, (size_t)length - 8);
    } else {
        fprintf(stderr, "bare_send: this is no whole request: %.*s\n", (int)length, received);
        exit(EXIT_FAILURE);
    }
}

int main(int argc, char **argv) {
    static struct epoll_event ready[EVENTS_MAX];
    unsigned port = argc > 1 ? parse_number(argv[1], 0, UINT16_MAX, "bare_send [PORT]") : 0;
    int listener = listen_on((uint16_t)port), epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0)
        die("epoll_create1");
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, (uint64_t)listener);
    for (;;) {
        int count = epoll_wait(epoll, ready, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = (int)ready[i].data.u64;
            if (fd != listener) {
                serve(fd);
                continue;
            }
            for (int client; (client = accept_next(listener)) >= 0;)
                watch(epoll, EPOLL_CTL_ADD, client, EPOLLIN, (uint64_t)client);
        }
    }
}
