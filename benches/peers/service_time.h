/* service_time: the service times of the queue server: how a flag describes them, and the next one by a seed. */
#ifndef SERVICE_TIME_H
#define SERVICE_TIME_H

#define _GNU_SOURCE
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define SERVICE_MAX_NS (UINT64_C(3600) * SECOND_NS) /* a Pareto time has no upper end, and a clock has one */

struct service {
    enum { CONSTANT, EXPONENTIAL, PARETO, BIMODAL } kind;
    double a, b, share; /* ns, except for Pareto's a, which is alpha */
};

/* Above 0, at most 1, by SplitMix64. */
static double next_fraction(uint64_t *random) {
    uint64_t mixed = *random += UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94D049BB133111EB);
    mixed ^= mixed >> 31;
    return (double)((mixed >> 11) + 1) / (double)(UINT64_C(1) << 53);
}

static uint64_t next_service_ns(const struct service *service, uint64_t *random) {
    double fraction = next_fraction(random), ns = service->a;

    switch (service->kind) {
    case CONSTANT: break;
    case EXPONENTIAL: ns = -log(fraction) * service->a; break;
    case PARETO: ns = service->b * pow(fraction, -1 / service->a); break;
    case BIMODAL: ns = fraction <= service->share ? service->b : service->a; break;
    }
    return ns < (double)SERVICE_MAX_NS ? (uint64_t)llround(ns) : SERVICE_MAX_NS;
}

static void refuse(const char *flag, const char *text, const char *expected) {
    fprintf(stderr, "queue_server: %s '%s' is not %s (see --help)\n", flag, text, expected);
    exit(2);
}

/* Reads a number and a unit. Returns what follows, or NULL if there is no duration. */
static const char *scan_duration(const char *text, double *ns) {
    static const struct { const char *unit; double ns; } units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
    char *end;
    double number = strtod(text, &end);

    if (end == text || !(number >= 0) || !isfinite(number))
        return NULL;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t length = strlen(units[i].unit);
        if (strncmp(end, units[i].unit, length) == 0) {
            *ns = number * units[i].ns;
            return *ns <= (double)SERVICE_MAX_NS ? end + length : NULL;
        }
    }
    return NULL;
}

static double parse_share(const char *flag, const char *text) {
    char *end;
    double share = strtod(text, &end);
    if (end == text || *end != '\0' || !(share >= 0 && share <= 1))
        refuse(flag, text, "a share from 0 to 1");
    return share;
}

static struct service parse_service(const char *text) {
    struct service service = {.kind = CONSTANT};
    const char *end = NULL;
    char *number_end;

    if (strncmp(text, "constant:", 9) == 0) {
        end = scan_duration(text + 9, &service.a);
    } else if (strncmp(text, "exp:", 4) == 0) {
        service.kind = EXPONENTIAL;
        end = scan_duration(text + 4, &service.a);
    } else if (strncmp(text, "pareto:", 7) == 0) {
        service.kind = PARETO;
        service.a = strtod(text + 7, &number_end);
        if (service.a > 0 && isfinite(service.a) && *number_end == ',')
            end = scan_duration(number_end + 1, &service.b);
    } else if (strncmp(text, "bimodal:", 8) == 0) {
        service.kind = BIMODAL;
        end = scan_duration(text + 8, &service.a);
        if (end != NULL)
            end = *end == ',' ? scan_duration(end + 1, &service.b) : NULL;
        if (end != NULL && *end == ',') {
            service.share = parse_share("--service", end + 1);
            end = "";
        } else {
            end = NULL;
        }
    }
    if (end == NULL || *end != '\0')
        refuse("--service", text, "constant:TIME, exp:MEAN, pareto:ALPHA,MINIMUM or bimodal:SHORT,LONG,SHARE");
    return service;
}

#endif
