/* echo: what the peer servers have in common: a listening socket, and echoing over level-triggered epoll.
 *
 * It is the least that is still correct: a short send loses nothing. The unsent rest is kept, the connection is
 * watched for EPOLLOUT instead of EPOLLIN until the rest is out (so a slow reader is not read either), then back.
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
    BACKLOG = 4096,        /* thousands of connections may arrive before the first accept */
};

/* Bytes that a short send left behind. Exists only while there are such bytes: an idle connection owns no memory. */
struct remainder {
    int fd;
    size_t sent, length;
    char bytes[];
};

/* epoll's 64-bit user data is either a descriptor or a remainder. A pointer from malloc is even, so an odd value is
 * a descriptor; this way no table of connections is needed. */
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

/* How many events are ready. EINTR is none: stopped and continued, or a tracer came or went. */
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
        if (errno != EINTR && errno != ECONNABORTED) /* those two: this client is gone; the next one may not be */
            die("accept4"); /* out of descriptors, say: a measurement with refused clients is none */
    }
}

/* How many bytes the kernel took; 0 when its buffer is full, -1 when the connection is broken. */
static ssize_t send_some(int fd, const char *bytes, size_t length) {
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
}

static void keep_rest(int epoll, int fd, const char *bytes, size_t length) {
    struct remainder *rest = malloc(sizeof *rest + length);
    if (rest == NULL)
        die("malloc");
    *rest = (struct remainder){.fd = fd, .length = length};
    memcpy(rest->bytes, bytes, length);
    watch(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT, (uint64_t)(uintptr_t)rest);
}

static void on_readable(int epoll, int fd) {
    ssize_t length = recv(fd, received, sizeof received, 0);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    ssize_t sent = length > 0 ? send_some(fd, received, (size_t)length) : -1;
    if (sent < 0)
        close(fd); /* end of stream or an error; closing also takes it out of the epoll set */
    else if (sent < length)
        keep_rest(epoll, fd, received + sent, (size_t)(length - sent));
}

static void on_writable(int epoll, struct remainder *rest) {
    ssize_t sent = send_some(rest->fd, rest->bytes + rest->sent, rest->length - rest->sent);
    if (sent >= 0 && (rest->sent += (size_t)sent) < rest->length)
        return; /* still bytes left: stay registered for EPOLLOUT */
    if (sent < 0)
        close(rest->fd);
    else
        watch(epoll, EPOLL_CTL_MOD, rest->fd, EPOLLIN, tag_fd(rest->fd));
    free(rest);
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
