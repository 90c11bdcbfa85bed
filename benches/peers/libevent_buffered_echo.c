/* libevent_buffered_echo: an echo server on libevent's bufferevents, beside examples/buffered_echo.rs.
 *
 * A reader that does not read makes its output grow, as there. After the end of a client's stream the server sends what
 * is left, and then frees the bufferevent, which closes the socket.
 *
 *     libevent_buffered_echo [PORT]      listens on 127.0.0.1:PORT; 0 or nothing takes a free port
 *
 * The first line on stdout is "listening on 127.0.0.1:PORT". SIGTERM ends the process by its default action.
 */
#include "buffered_echo.h"
#include <event2/event.h>

static void on_client(evutil_socket_t listener, short what, void *base) {
    (void)what;
    for (int on = 1, fd; (fd = accept_next(listener)) >= 0;) {
        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
            die("TCP_NODELAY");
        struct bufferevent *client = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
        if (client == NULL)
            die("bufferevent_socket_new");
        bufferevent_setcb(client, on_read, NULL, on_event, NULL);
        bufferevent_enable(client, EV_READ);
    }
}

int main(int argc, char **argv) {
    unsigned port = argc > 1 ? parse_number(argv[1], 0, UINT16_MAX, "libevent_buffered_echo [PORT]") : 0;
    struct event_base *base = event_base_new();
    struct event *clients;

    if (base == NULL || (clients = event_new(base, listen_on((uint16_t)port), EV_READ | EV_PERSIST, on_client, base)) == NULL)
        die("event_base_new");
    event_add(clients, NULL);
    return event_base_dispatch(base);
}
