/* buffered_echo: what the echo servers on libevent's bufferevents share: their callbacks.
 *
 * After the end of a client's stream the server sends what is left, and then frees the bufferevent, which closes the
 * socket.
 */
#ifndef BUFFERED_ECHO_H
#define BUFFERED_ECHO_H

#include "listen.h"
#include <event2/buffer.h>
#include <event2/bufferevent.h>

static void on_read(struct bufferevent *client, void *unused) {
    (void)unused;
    bufferevent_write_buffer(client, bufferevent_get_input(client));
}

static void on_sent(struct bufferevent *client, void *unused) {
    (void)unused;
    bufferevent_free(client);
}

static void on_event(struct bufferevent *client, short what, void *unused) {
    (void)unused;
    if ((what & BEV_EVENT_EOF) && evbuffer_get_length(bufferevent_get_output(client)) > 0)
        bufferevent_setcb(client, NULL, on_sent, on_event, NULL);
    else if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        bufferevent_free(client);
}

#endif
