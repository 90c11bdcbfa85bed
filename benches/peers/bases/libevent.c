/* bases-libevent: the benchmarks of an event base on libevent (Debian package libevent-dev).
 *
 *     bases-libevent chain --pipes 1000 --active 100 --writes 10000 --variant default
 *
 * Variants: default, precise (EVENT_BASE_FLAG_PRECISE_TIMER) and changelist (EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST).
 * No thread support is switched on, so there is no lock. */
#include "bases.h"
#include <event2/event.h>
#include <event2/event_struct.h>

#define LIBRARY "libevent"

typedef struct event io_event;
typedef struct event timer_event;
typedef event_callback_fn handler;

enum interest { READABLE = EV_READ, WRITABLE = EV_WRITE };
enum lifetime { ONE_SHOT = 0, PERSISTENT = EV_PERSIST };
enum rearm { REARM_NONE, REARM_DEL_ADD, REARM_ADD };

#define IO_HANDLER(name) static void name(evutil_socket_t fd, short what, void *data)
#define TIMER_HANDLER IO_HANDLER
#define HANDLER_INDEX ((void)what, (uintptr_t)data)
#define HANDLER_FD fd
#define HANDLER_ENDS_ONE_SHOT (void)0
#define HANDLER_IGNORES_ITS_ARGUMENTS ((void)fd, (void)what, (void)data)

static struct event_base *base;
static const struct timeval *common_duration;
static char backend_used[64];

static const char *library_version(void) { return event_get_version(); }

static int base_flags(void) {
    if (strcmp(options.variant, "default") == 0)
        return 0;
    if (strcmp(options.variant, "precise") == 0)
        return EVENT_BASE_FLAG_PRECISE_TIMER;
    if (strcmp(options.variant, "changelist") == 0)
        return EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST;
    refuse("--variant is default, precise or changelist");
    return 0;
}

static void base_open(void) {
    struct event_config *config = event_config_new();
    if (config == NULL || event_config_set_flag(config, base_flags() | EVENT_BASE_FLAG_IGNORE_ENV) < 0)
        die("event_config");
    base = event_base_new_with_config(config);
    event_config_free(config);
    if (base == NULL)
        die("event_base_new_with_config");
    snprintf(backend_used, sizeof backend_used, "%s", event_base_get_method(base));
}

static void base_close(void) { event_base_free(base); }

static inline void base_pass(void) {
    if (event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK) < 0)
        die("event_base_loop");
}

static inline void base_dispatch(void) {
    if (event_base_dispatch(base) < 0)
        die("event_base_dispatch");
}

static inline struct timeval timeval_of(uint64_t us) {
    return (struct timeval){.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
}

static inline void add(struct event *event, const struct timeval *timeout) {
    if (event_add(event, timeout) < 0)
        die("event_add");
}

static inline void io_assign(io_event *event, int fd, enum interest interest, enum lifetime lifetime, handler handler,
                             uintptr_t index) {
    event_assign(event, base, fd, (short)((int)interest | (int)lifetime), handler, (void *)index);
}

static inline void io_add(io_event *event) { add(event, NULL); }

static inline void io_add_within(io_event *event, uint64_t timeout_us) {
    struct timeval timeout = timeval_of(timeout_us);
    add(event, &timeout);
}

static inline void io_del(io_event *event) { event_del(event); }

static enum rearm rearm_named(const char *name) {
    if (strcmp(name, "none") == 0)
        return REARM_NONE;
    if (strcmp(name, "del-add") == 0)
        return REARM_DEL_ADD;
    if (strcmp(name, "add") == 0)
        return REARM_ADD;
    refuse("--rearm is none, del-add or add");
    return REARM_NONE;
}

static inline void io_rearm(io_event *event, enum rearm how, uint64_t timeout_us) {
    if (how == REARM_DEL_ADD)
        event_del(event);
    io_add_within(event, timeout_us);
}

static inline void timer_assign(timer_event *event, handler handler) { evtimer_assign(event, base, handler, NULL); }
static inline void timer_add(timer_event *event, uint64_t timeout_us) { io_add_within(event, timeout_us); }
static inline void timer_reset(timer_event *event, uint64_t timeout_us) { io_add_within(event, timeout_us); }
static inline void timer_del(timer_event *event) { event_del(event); }

static void common_open(uint64_t duration_us) {
    struct timeval duration = timeval_of(duration_us);
    common_duration = event_base_init_common_timeout(base, &duration);
    if (common_duration == NULL)
        die("event_base_init_common_timeout");
}

static inline void timer_add_common(timer_event *event) { add(event, common_duration); }
static inline void timer_reset_common(timer_event *event) { add(event, common_duration); }
static const char *common_how(void) { return "event_base_init_common_timeout"; }

#include "main.h"
