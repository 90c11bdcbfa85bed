/* echo: what the peer servers share: a listen socket, and echoing over level-triggered epoll.
 *
 * It is the least that is still correct: a short send loses nothing. The server stores the unsent bytes and watches
 * the connection for EPOLLOUT instead of EPOLLIN until they are sent. So it does not read from a slow reader either.
 */
#ifndef ECHO_H
#define ECHO_H

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

/* The unsent bytes after a short send. It exists only while there are any: an idle connection has no memory. */
struct remainder {
    int fd;
    size_t sent, length;
    char bytes[];
};

/* epoll's 64-bit user data is either a descriptor or a remainder. A pointer from malloc is even, so an odd value is
 * a descriptor. So no table of connections is needed. */
static inline uint64_t tag_fd(int fd) { return (uint64_t)fd << 1 | 1; }
static inline int is_fd(uint64_t tag) { return tag & 1; }
static inline int tagged_fd(uint64_t tag) { return (int)(tag >> 1); }

static _Thread_local char received[RECV_MAX];

static void die(const char *what) {
    perror(what);
    exit(EXIT_FAILURE);
}

static void watch(int epoll, int operation, int fd, uint32_t events, uint64_t tag) {
    struct epoll_event event = {.events = events, .data.u64 = tag};
    if (epoll_ctl(epoll, operation, fd, &event) < 0)
        die("epoll_ctl");
}

/* Waits; returns how many events are ready. After EINTR (a stop, a tracer) it is -1, and the caller waits again. */
static int await(int epoll, struct epoll_event *ready) {
    int count = epoll_wait(epoll, ready, EVENTS_MAX, -1);
    if (count < 0 && errno != EINTR)
        die("epoll_wait");
    return count;
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
static ssize_t send_some(int fd, const char *bytes, size_t length) {
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
}

static void store_remainder(int epoll, int fd, const char *bytes, size_t length) {
    struct remainder *remainder = malloc(sizeof *remainder + length);
    if (remainder == NULL)
        die("malloc");
    *remainder = (struct remainder){.fd = fd, .length = length};
    memcpy(remainder->bytes, bytes, length);
    watch(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT, (uint64_t)(uintptr_t)remainder);
}

static void on_readable(int epoll, int fd) {
    ssize_t length = recv(fd, received, sizeof received, 0);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    ssize_t sent = length > 0 ? send_some(fd, received, (size_t)length) : -1;
    if (sent < 0)
        close(fd); /* end of stream or an error; closing also takes it out of the epoll set */
    else if (sent < length)
        store_remainder(epoll, fd, received + sent, (size_t)(length - sent));
}

static void on_writable(int epoll, struct remainder *remainder) {
    ssize_t sent = send_some(remainder->fd, remainder->bytes + remainder->sent, remainder->length - remainder->sent);
    if (sent >= 0 && (remainder->sent += (size_t)sent) < remainder->length)
        return; /* bytes remain: stay registered for EPOLLOUT */
    if (sent < 0)
        close(remainder->fd);
    else
        watch(epoll, EPOLL_CTL_MOD, remainder->fd, EPOLLIN, tag_fd(remainder->fd));
    free(remainder);
}

/* A connection's readiness. */
static void on_ready(int epoll, uint64_t tag) {
    if (is_fd(tag))
        on_readable(epoll, tagged_fd(tag));
    else
        on_writable(epoll, (struct remainder *)(uintptr_t)tag);
}

/* A whole number from `least` to `most`, or the end of the program with its usage. */
static unsigned parse_number(const char *text, unsigned least, unsigned most, const char *usage) {
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || number < least || number > most) {
        fprintf(stderr, "usage: %s   ('%s' is not a number from %u to %u)\n", usage, text, least, most);
        exit(2);
    }
    return (unsigned)number;
}

#endif
