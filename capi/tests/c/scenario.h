/* What all scenario programs need: each prints lines that do not depend on time or addresses, so
 * that its output with one library can be compared with its output with another. */
#ifndef SCENARIO_H
#define SCENARIO_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>

/* Begins a scenario: its name is a sentence. */
#define SCENARIO(sentence) printf("\n%s\n", sentence)

static inline void expect(int holds, const char *what)
{
	if (!holds) {
		printf("FAILED: %s\n", what);
		fflush(stdout);
		exit(1);
	}
}

static inline struct event_base *new_base(void)
{
	struct event_base *base = event_base_new();
	expect(base != NULL, "a base");
	return base;
}

static inline struct timeval ms(int milliseconds)
{
	struct timeval tv = {milliseconds / 1000, milliseconds % 1000 * 1000};
	return tv;
}

static inline void make_pair(int fds[2])
{
	expect(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0, "a socket pair");
	expect(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0, "a nonblocking socket");
	expect(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0, "a nonblocking socket");
}

static inline const char *names_of(short what)
{
	static char text[128];
	snprintf(text, sizeof(text), "%s%s%s%s%s%s", what & EV_TIMEOUT ? " TIMEOUT" : "",
	    what & EV_READ ? " READ" : "", what & EV_WRITE ? " WRITE" : "",
	    what & EV_SIGNAL ? " SIGNAL" : "", what & EV_CLOSED ? " CLOSED" : "",
	    what & EV_ET ? " ET" : "");
	return text;
}

/* A callback that prints its argument, a string, and why it was called. */
static inline void say(evutil_socket_t fd, short what, void *name)
{
	(void)fd;
	printf("%s:%s\n", (const char *)name, names_of(what));
}

#endif
