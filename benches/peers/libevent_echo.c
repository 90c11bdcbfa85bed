/* libevent_echo: an echo server on libevent's plain events, beside examples/echo.rs.
 *
 * If the kernel takes only a part of a reply, the rest is stored, and the connection is watched for writing instead of
 * reading until it is sent.
 *
 *     libevent_echo [PORT]      listens on 127.0.0.1:PORT; 0 or nothing takes a free port
 *
 * The first line on stdout is "listening on 127.0.0.1:PORT". SIGTERM ends the process by its default action.
 */
#include "listen.h"
#include <event2/event.h>

struct client {
    struct event *readable, *writable;
    size_t sent, length;
    char *unsent;
};

/* First the events, then the descriptor. */
static void end(struct client *client, int fd) {
    event_free(client->readable);
    event_free(client->writable);
    close(fd);
    free(client->unsent);
    free(client);
}

static void on_read(evutil_socket_t fd, short what, void *of_client) {
    struct client *client = of_client;
    (void)what;
    ssize_t length = recv(fd, received, sizeof received, 0);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    ssize_t sent = length > 0 ? send_some(fd, received, (size_t)length) : -1;
    if (sent < 0) {
        end(client, fd);
        return;
    }
    if (sent == length)
        return;
    client->sent = 0;
    client->length = (size_t)(length - sent);
    if ((client->unsent = malloc(client->length)) == NULL)
        die("malloc");
    memcpy(client->unsent, received + sent, client->length);
    event_del(client->readable);
    event_add(client->writable, NULL);
}

static void on_write(evutil_socket_t fd, short what, void *of_client) {
    struct client *client = of_client;
    (void)what;
    ssize_t sent = send_some(fd, client->unsent + client->sent, client->length - client->sent);
    if (sent < 0) {
        end(client, fd);
        return;
    }
    if ((client->sent += (size_t)sent) < client->length)
        return;
    free(client->unsent);
    client->unsent = NULL;
    event_del(client->writable);
    event_add(client->readable, NULL);
}

static void on_client(evutil_socket_t listener, short what, void *base) {
    (void)what;
    for (int on = 1, fd; (fd = accept_next(listener)) >= 0;) {
        struct client *client = calloc(1, sizeof *client);
        if (client == NULL || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
            die("a new client");
        client->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_read, client);
        client->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_write, client);
        if (client->readable == NULL || client->writable == NULL)
            die("event_new");
        event_add(client->readable, NULL);
    }
}

int main(int argc, char **argv) {
    unsigned port = argc > 1 ? parse_number(argv[1], 0, UINT16_MAX, "libevent_echo [PORT]") : 0;
    struct event_base *base = event_base_new();
    struct event *clients;

    if (base == NULL || (clients = event_new(base, listen_on((uint16_t)port), EV_READ | EV_PERSIST, on_client, base)) == NULL)
        die("event_base_new");
    event_add(clients, NULL);
    return event_base_dispatch(base);
}
