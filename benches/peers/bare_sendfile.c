/* bare_sendfile: the least that sending a file to clients can cost.
 *
 * One thread, level-triggered epoll, and per readiness one sendfile of all that the socket takes. A client gets the whole
 * file, and then its connection is closed.
 *
 *     bare_sendfile FILE [PORT]      listens on 127.0.0.1:PORT; 0 or nothing takes a free port
 *
 * The first line on stdout is "listening on 127.0.0.1:PORT". SIGTERM ends the process by its default action.
 */
#include "listen.h"
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

struct transfer {
    int fd;
    off_t sent;
};

static void accept_all(int epoll, int listener) {
    for (int fd; (fd = accept_next(listener)) >= 0;) {
        struct transfer *transfer = malloc(sizeof *transfer);
        if (transfer == NULL)
            die("malloc");
        *transfer = (struct transfer){.fd = fd};
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLOUT, (uint64_t)(uintptr_t)transfer);
    }
}

static void send_more(struct transfer *transfer, int file, off_t length) {
    ssize_t sent = sendfile(transfer->fd, file, &transfer->sent, (size_t)(length - transfer->sent));
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (sent <= 0 || transfer->sent == length) {
        close(transfer->fd);
        free(transfer);
    }
}

int main(int argc, char **argv) {
    static struct epoll_event ready[EVENTS_MAX];
    const char *usage = "bare_sendfile FILE [PORT]";
    unsigned port = argc > 2 ? parse_number(argv[2], 0, UINT16_MAX, usage) : 0;
    struct stat status;

    if (argc < 2) {
        fprintf(stderr, "usage: %s\n", usage);
        return 2;
    }
    int file = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) < 0)
        die(argv[1]);
    int listener = listen_on((uint16_t)port), epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        die("epoll_create1");
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, 0);
    for (;;) {
        int count = epoll_wait(epoll, ready, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (ready[i].data.u64 == 0)
                accept_all(epoll, listener);
            else
                send_more((struct transfer *)(uintptr_t)ready[i].data.u64, file, status.st_size);
        }
    }
}
