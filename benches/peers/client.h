/* client: what the peer clients share: connections from many addresses, a clock, samples, flags.
 *
 * A client stores all samples and sorts them at the end, so that percentiles are exact. Not every client uses all of
 * this: `inline` avoids a warning there.
 */
#ifndef CLIENT_H
#define CLIENT_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)
#define MILLISECOND_NS UINT64_C(1000000)

struct samples {
    uint64_t *ns;
    size_t count, capacity;
};

static void die(const char *what) {
    perror(what);
    exit(EXIT_FAILURE);
}

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND_NS + (uint64_t)time.tv_nsec;
}

/* CPU time of this process: shows whether the client was busy. */
static inline double cpu_s(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* "HOST:PORT", numeric. */
static inline struct sockaddr_in parse_address(const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[INET_ADDRSTRLEN] = "";
    unsigned port;

    if (sscanf(text, "%15[0-9.]:%u", host, &port) != 2 || port > UINT16_MAX ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        fprintf(stderr, "'%s' is not an address such as 127.0.0.1:7000\n", text);
        exit(2);
    }
    address.sin_port = htons((uint16_t)port);
    return address;
}

static inline unsigned parse_number(const char *name, const char *text, unsigned most) {
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || number > most) {
        fprintf(stderr, "--%s: '%s' is not a whole number up to %u\n", name, text, most);
        exit(2);
    }
    return (unsigned)number;
}

/* A socket bound to 127.0.0.2 or one of the addresses after it. Each has its own 28,000 ephemeral ports, so that those
 * in TIME_WAIT do not run out. The port is chosen at connect, when the destination is known. */
static inline int socket_from(unsigned source) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + source)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        die("socket");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("bind");
    return fd;
}

static inline void record(struct samples *samples, uint64_t ns) {
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? 2 * samples->capacity : 4096;
        samples->ns = realloc(samples->ns, samples->capacity * sizeof *samples->ns);
        if (samples->ns == NULL)
            die("realloc");
    }
    samples->ns[samples->count++] = ns;
}

static inline int by_size(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* The samples as a member of a JSON object; null where there is none. */
static inline void print_samples(const char *name, struct samples *samples) {
    static const struct { const char *name; double quantile; } quantiles[] = {
        {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1.0},
    };
    size_t n = samples->count;

    if (n > 0)
        qsort(samples->ns, n, sizeof *samples->ns, by_size);
    printf("\"%s\": {\"count\": %zu", name, n);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        size_t rank = (size_t)(quantiles[i].quantile * (double)n); /* how many are below */
        if (n == 0)
            printf(", \"%s\": null", quantiles[i].name);
        else
            printf(", \"%s\": %ju", quantiles[i].name, (uintmax_t)samples->ns[rank < n ? rank : n - 1]);
    }
    printf("}");
}

#endif
