/* listen: what all peer servers share: a listen socket, accepted connections, and sends that may be short.
 */
#ifndef LISTEN_H
#define LISTEN_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 1024,     /* more ready connections than any of the measured cases has at once */
    RECV_MAX = 64 * 1024,  /* one recv takes a whole 16 KiB message, or several */
    BACKLOG = 4096,        /* thousands of clients may connect before the first accept */
};

__attribute__((unused)) static _Thread_local char received[RECV_MAX];

static void die(const char *what) {
    perror(what);
    exit(EXIT_FAILURE);
}

static inline void watch(int epoll, int operation, int fd, uint32_t events, uint64_t tag) {
    struct epoll_event event = {.events = events, .data.u64 = tag};
    if (epoll_ctl(epoll, operation, fd, &event) < 0)
        die("epoll_ctl");
}

/* A whole number from `least` to `most`, or the end of the program with its usage. */
static inline unsigned parse_number(const char *text, unsigned least, unsigned most, const char *usage) {
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || number < least || number > most) {
        fprintf(stderr, "usage: %s   ('%s' is not a number from %u to %u)\n", usage, text, least, most);
        exit(2);
    }
    return (unsigned)number;
}

static int listen_on(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof address;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        die("socket");
    if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, BACKLOG) < 0)
        die("bind and listen");
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        die("getsockname");
    printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    if (fflush(stdout) != 0)
        die("stdout");
    return fd;
}

/* The next connection, or -1 when none waits. */
static int accept_next(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 || errno == EAGAIN)
            return fd;
        if (errno != EINTR && errno != ECONNABORTED) /* after those two the next accept may succeed */
            die("accept4"); /* for example out of descriptors: a run with refused clients is not valid */
    }
}

/* How many bytes the kernel took; 0 when its buffer is full, -1 when the connection is broken. */
static inline ssize_t send_some(int fd, const char *bytes, size_t length) {
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
}

#endif
