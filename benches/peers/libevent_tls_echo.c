/* libevent_tls_echo: an echo server over TLS on libevent's bufferevent_openssl, beside examples/tls_echo.rs.
 *
 * A reader that does not read makes its output grow, as there. Sessions are resumed by tickets, as OpenSSL does without
 * further settings.
 *
 *     libevent_tls_echo CERTIFICATES KEY [PORT]      listens on 127.0.0.1:PORT; 0 or nothing takes a free port
 *
 * The first line on stdout is "listening on 127.0.0.1:PORT". SIGTERM ends the process by its default action.
 */
#include "buffered_echo.h"
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

struct server {
    struct event_base *base;
    SSL_CTX *tls;
};

static void die_of_tls(const char *what) {
    fprintf(stderr, "%s: ", what);
    ERR_print_errors_fp(stderr);
    exit(EXIT_FAILURE);
}

static void on_client(evutil_socket_t listener, short what, void *arg) {
    struct server *server = arg;
    (void)what;
    for (int on = 1, fd; (fd = accept_next(listener)) >= 0;) {
        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
            die("TCP_NODELAY");
        SSL *tls = SSL_new(server->tls);
        struct bufferevent *client = tls == NULL ? NULL
            : bufferevent_openssl_socket_new(server->base, fd, tls, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
        if (client == NULL)
            die_of_tls("bufferevent_openssl_socket_new");
        bufferevent_setcb(client, on_read, NULL, on_event, NULL);
        bufferevent_enable(client, EV_READ);
    }
}

int main(int argc, char **argv) {
    const char *usage = "libevent_tls_echo CERTIFICATES KEY [PORT]";
    unsigned port = argc > 3 ? parse_number(argv[3], 0, UINT16_MAX, usage) : 0;
    struct server server = {.base = event_base_new(), .tls = SSL_CTX_new(TLS_server_method())};
    struct event *clients;

    if (argc < 3) {
        fprintf(stderr, "usage: %s\n", usage);
        return 2;
    }
    if (server.base == NULL)
        die("event_base_new");
    if (server.tls == NULL || SSL_CTX_use_certificate_chain_file(server.tls, argv[1]) != 1
        || SSL_CTX_use_PrivateKey_file(server.tls, argv[2], SSL_FILETYPE_PEM) != 1)
        die_of_tls(argv[1]);
    SSL_CTX_set_mode(server.tls, SSL_MODE_RELEASE_BUFFERS); /* an idle connection keeps no buffers */
    clients = event_new(server.base, listen_on((uint16_t)port), EV_READ | EV_PERSIST, on_client, &server);
    if (clients == NULL)
        die("event_new");
    event_add(clients, NULL);
    return event_base_dispatch(server.base);
}
