/* memcached_accept: an echo server that hands connections to its threads as memcached does.
 *
 * The main thread accepts one connection for each readiness of the listening socket, takes the next worker in turn,
 * appends an item to that worker's list under a mutex, and adds one to that worker's eventfd: a write for every
 * connection. The worker reads the eventfd and takes as many items as the counter says. This path is what the
 * benchmark measures; the echo is the plain one of bare_epoll.
 *
 *     memcached_accept [PORT] [WORKERS]      on 127.0.0.1:PORT; 0 or nothing takes a free port; 2 workers
 *
 * The first line on stdout is "listening on 127.0.0.1:PORT". SIGTERM ends the process by its default action.
 */
#include "echo.h"
#include <pthread.h>
#include <sys/eventfd.h>

enum { WORKERS_MAX = 64 };

struct item {
    struct item *next;
    int fd;
};

struct worker {
    pthread_mutex_t lock;
    struct item *head, **tail; /* under the lock */
    int notify, epoll;
};

static const char usage[] = "memcached_accept [PORT] [WORKERS]";

static void push(struct worker *worker, int fd) {
    struct item *item = malloc(sizeof *item);
    uint64_t one = 1;

    if (item == NULL)
        die("malloc");
    *item = (struct item){.fd = fd};
    pthread_mutex_lock(&worker->lock);
    *worker->tail = item;
    worker->tail = &item->next;
    pthread_mutex_unlock(&worker->lock);
    if (write(worker->notify, &one, sizeof one) != sizeof one)
        die("write to an eventfd");
}

static int pop(struct worker *worker) {
    pthread_mutex_lock(&worker->lock);
    struct item *item = worker->head;
    worker->head = item->next;
    if (worker->head == NULL)
        worker->tail = &worker->head;
    pthread_mutex_unlock(&worker->lock);
    int fd = item->fd;
    free(item);
    return fd;
}

static void take_connections(struct worker *worker) {
    uint64_t items;
    if (read(worker->notify, &items, sizeof items) != sizeof items)
        die("read of an eventfd");
    while (items-- > 0) {
        int fd = pop(worker);
        watch(worker->epoll, EPOLL_CTL_ADD, fd, EPOLLIN, tag_fd(fd));
    }
}

static void *serve(void *argument) {
    struct worker *worker = argument;
    struct epoll_event ready[EVENTS_MAX];

    for (;;) {
        int count = await(worker->epoll, ready);
        for (int i = 0; i < count; i++) {
            if (ready[i].data.u64 == tag_fd(worker->notify))
                take_connections(worker);
            else
                on_ready(worker->epoll, ready[i].data.u64);
        }
    }
    return NULL;
}

static void start(struct worker *worker) {
    pthread_t thread;

    pthread_mutex_init(&worker->lock, NULL);
    worker->tail = &worker->head;
    worker->notify = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (worker->notify < 0 || worker->epoll < 0)
        die("eventfd and epoll_create1");
    watch(worker->epoll, EPOLL_CTL_ADD, worker->notify, EPOLLIN, tag_fd(worker->notify));
    if ((errno = pthread_create(&thread, NULL, serve, worker)) != 0)
        die("pthread_create");
}

int main(int argc, char **argv) {
    static struct worker workers[WORKERS_MAX];
    static struct epoll_event ready[EVENTS_MAX];
    unsigned port = argc > 1 ? parse_number(argv[1], 0, UINT16_MAX, usage) : 0;
    unsigned count = argc > 2 ? parse_number(argv[2], 1, WORKERS_MAX, usage) : 2;
    int on = 1, epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0)
        die("epoll_create1");
    for (unsigned i = 0; i < count; i++)
        start(&workers[i]);
    int listener = listen_on((uint16_t)port);
    /* Accepted sockets inherit the option, as in memcached: no call for each. */
    if (setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        die("TCP_NODELAY");
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, tag_fd(listener));
    for (unsigned turn = 0;;) {
        if (await(epoll, ready) != 1)
            continue;
        int fd = accept_next(listener); /* one, then back to the loop */
        if (fd >= 0)
            push(&workers[turn++ % count], fd);
    }
}
