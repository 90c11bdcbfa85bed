/* bare_epoll: the least that an epoll echo server can cost.
 *
 * One thread, level-triggered epoll, and per readiness one recv and one send. It has no event base, timers, statistics
 * or handoff: its cost is the kernel's. What another server of this kind costs more is that server's own cost.
 *
 *     bare_epoll [PORT]      listens on 127.0.0.1:PORT; 0 or nothing takes a free port
 *
 * The first line on stdout is "listening on 127.0.0.1:PORT". SIGTERM ends the process by its default action.
 */
#include "echo.h"

static void accept_all(int epoll, int listener) {
    for (int on = 1, fd; (fd = accept_next(listener)) >= 0;) {
        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
            die("TCP_NODELAY");
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, tag_fd(fd));
    }
}

int main(int argc, char **argv) {
    static struct epoll_event ready[EVENTS_MAX];
    unsigned port = argc > 1 ? parse_number(argv[1], 0, UINT16_MAX, "bare_epoll [PORT]") : 0;
    int listener = listen_on((uint16_t)port), epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0)
        die("epoll_create1");
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, tag_fd(listener));
    for (;;) {
        int count = await(epoll, ready);
        for (int i = 0; i < count; i++) {
            if (ready[i].data.u64 == tag_fd(listener))
                accept_all(epoll, listener);
            else
                on_ready(epoll, ready[i].data.u64);
        }
    }
}
