/* echo: what the peer servers that echo at once share: echoing over level-triggered epoll.
 *
 * It is the least that is still correct: a short send loses nothing. The server stores the unsent bytes and watches
 * the connection for EPOLLOUT instead of EPOLLIN until they are sent. So it does not read from a slow reader either.
 */
#ifndef ECHO_H
#define ECHO_H

#include "listen.h"

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

/* Waits; returns how many events are ready. After EINTR (a stop, a tracer) it is -1, and the caller waits again. */
static int await(int epoll, struct epoll_event *ready) {
    int count = epoll_wait(epoll, ready, EVENTS_MAX, -1);
    if (count < 0 && errno != EINTR)
        die("epoll_wait");
    return count;
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

#endif
