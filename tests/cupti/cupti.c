/* A CUPTI that tells of every launch of the pretended driver, and misbehaves as MODE says. Layouts of records and parameters are those of
   the headers of CUPTI 13.0, by offset: nothing here is made from the code under test. What is asked in a wrong order, or with a
   structure of another size, is answered with an error. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#define RIGHT 0
#define OLD 1
#define NO_RANGES 2
#define NOT_PERMITTED 3
#define TAKEN 4

#define INVALID 1
#define END 12
#define NO_METRIC 17

static int launches(void) {
    int *count = dlsym(dlopen("libcuda.so", RTLD_NOW | RTLD_NOLOAD), "launches");
    return count ? *count : 0;
}

int cuptiGetVersion(uint32_t *version) { return *version = MODE == OLD ? 18 : 130001, 0; }
int cuptiGetResultString(int status, const char **text) {
    *text = status == 35 ? "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES" : status == 39 ? "CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED" : "CUPTI_ERROR";
    return 0;
}
int cuptiGetCallbackName(int domain, uint32_t number, const char **name) {
    return *name = domain == 1 && number == 652 ? "cuLaunchKernelEx" : 0, 0;
}

/* Activities: each launch is a call of 2 us and a kernel of 5 us, 10 us apart. */
static void (*request)(uint8_t **, size_t *, size_t *);
static void (*complete)(void *, uint32_t, uint8_t *, size_t, size_t);
static int enabled[64], begun;

int cuptiActivityRegisterCallbacks(void *requested, void *completed) {
    return request = requested, complete = completed, !requested || !completed;
}
int cuptiActivityEnable(unsigned kind) {
    if (MODE == TAKEN) return 39;
    begun = launches();
    return enabled[kind & 63] = 1, 0;
}
int cuptiActivityDisable(unsigned kind) { return enabled[kind & 63] = 0, 0; }

static size_t length(uint32_t kind) { return kind == 10 ? 216 : kind == 2 ? 88 : kind == 4 ? 40 : 48; }
static uint8_t *put(uint8_t *at, uint32_t kind) { return memset(at, 0xee, length(kind)), memcpy(at, &kind, 4), at; }
static void u2(uint8_t *at, uint16_t value) { memcpy(at, &value, 2); }
static void u4(uint8_t *at, uint32_t value) { memcpy(at, &value, 4); }
static void u8(uint8_t *at, uint64_t value) { memcpy(at, &value, 8); }

static void *fill(void *unused) {
    uint8_t *buffer = 0, *at;
    size_t size = 0, most = 7;
    request(&buffer, &size, &most);
    if (!buffer || (uintptr_t)buffer % 8 || size < 1 << 20 || most) return 0;
    at = buffer;
    for (int i = begun; i < launches(); i++) {
        uint64_t start = 1000000 + 10000 * (uint64_t)i;
        if (enabled[4]) {
            put(at, 4), u4(at + 4, 652), u8(at + 8, start), u8(at + 16, start + 2000), u4(at + 32, i + 1);
            at += length(4);
        }
        /* Of a kind that nobody asked for. */
        put(at, 17), at += length(17);
        if (enabled[10]) {
            static const char name[] = "matmul_tiled";
            put(at, 10), u2(at + 6, 96), u8(at + 16, start + 3000), u8(at + 24, start + 8000);
            for (int d = 0; d < 3; d++) u4(at + 52 + 4 * d, d ? 1 : 4), u4(at + 64 + 4 * d, d ? 1 : 256);
            u4(at + 76, 2048), u4(at + 80, 1024), u4(at + 84, 0), u4(at + 92, i + 1), u8(at + 104, (uint64_t)name);
            at += length(10);
        }
    }
    complete(0, 0, buffer, size, at - buffer);
    return 0;
}
int cuptiActivityFlushAll(uint32_t flag) {
    pthread_t worker;
    if (flag != 1 || pthread_create(&worker, 0, fill, 0)) return INVALID;
    return pthread_join(worker, 0);
}
int cuptiActivityGetNextRecord(uint8_t *buffer, size_t valid, uint8_t **record) {
    uint8_t *next = buffer;
    if (*record) {
        uint32_t kind;
        memcpy(&kind, *record, 4);
        next = *record + length(kind);
    }
    if (next >= buffer + valid) return END;
    return *record = next, 0;
}
int cuptiActivityGetNumDroppedRecords(void *context, uint32_t stream, size_t *dropped) { return *dropped = 0, 0; }

#if MODE != NO_RANGES
/* The range profiler: a state that each call must find, and leaves. */
enum { OFF, ON, ENABLED, HOST, ADDED, CONFIGURED, ROOM, SET, BEGUN, STOPPED, DECODED };
static int state, counted;
static size_t metrics;
static char ranges, host;

static uint64_t get(const uint8_t *at) {
    uint64_t value;
    return memcpy(&value, at, 8), value;
}
/* Whether the structure is as long as the header says, its second field is null, and it is time for the call. */
static int wrong(const uint8_t *p, size_t size, int from) { return get(p) != size || get(p + 8) || state != from; }

int cuptiProfilerInitialize(uint8_t *p) { return wrong(p, 16, OFF) ? INVALID : (state = ON, 0); }
int cuptiProfilerDeInitialize(uint8_t *p) { return get(p) != 16 ? INVALID : (state = OFF, 0); }
int cuptiDeviceGetChipName(uint8_t *p) {
    static const char chip[] = "GA100";
    return wrong(p, 32, ON) || get(p + 16) ? INVALID : (u8(p + 24, (uint64_t)chip), 0);
}
int cuptiRangeProfilerEnable(uint8_t *p) {
    if (MODE == NOT_PERMITTED) return 35;
    if (wrong(p, 32, ON) || (void *)get(p + 16) != dlsym(dlopen("libcuda.so", RTLD_NOW | RTLD_NOLOAD), "cuInit")) return INVALID;
    return state = ENABLED, u8(p + 24, (uint64_t)&ranges), 0;
}
int cuptiProfilerHostInitialize(uint8_t *p) {
    if (wrong(p, 48, ENABLED) || *(uint32_t *)(p + 16) || strcmp((char *)get(p + 24), "GA100") || get(p + 32)) return INVALID;
    return state = HOST, u8(p + 40, (uint64_t)&host), 0;
}
int cuptiProfilerHostDeinitialize(uint8_t *p) { return get(p) != 24 || get(p + 16) != (uint64_t)&host; }
int cuptiProfilerHostGetMetricProperties(uint8_t *p) {
    if (wrong(p, 60, HOST) || get(p + 16) != (uint64_t)&host) return INVALID;
    return strncmp((char *)get(p + 24), "l1tex__", 7) ? 0 : NO_METRIC;
}
int cuptiProfilerHostConfigAddMetrics(uint8_t *p) {
    if (wrong(p, 40, HOST) || get(p + 16) != (uint64_t)&host) return INVALID;
    const char **names = (const char **)get(p + 24);
    metrics = get(p + 32);
    for (size_t i = 0; i < metrics; i++)
        if (!strchr(names[i], '.') || !strncmp(names[i], "l1tex__", 7)) return NO_METRIC;
    return state = ADDED, 0;
}
int cuptiProfilerHostGetConfigImageSize(uint8_t *p) { return wrong(p, 32, ADDED) ? INVALID : (u8(p + 24, 100), 0); }
int cuptiProfilerHostGetConfigImage(uint8_t *p) {
    if (wrong(p, 40, ADDED) || get(p + 24) != 100) return INVALID;
    return state = CONFIGURED, memset((void *)get(p + 32), 42, 100), 0;
}
int cuptiProfilerHostGetNumOfPasses(uint8_t *p) {
    const uint8_t *config = (uint8_t *)get(p + 24);
    return wrong(p, 40, CONFIGURED) || get(p + 16) != 100 || config[0] != 42 || config[99] != 42 ? INVALID : (u8(p + 32, 9), 0);
}
int cuptiRangeProfilerGetCounterDataSize(uint8_t *p) {
    if (wrong(p, 64, CONFIGURED) || get(p + 16) != (uint64_t)&ranges || get(p + 32) != metrics || get(p + 40) != *(uint32_t *)(p + 48)) return INVALID;
    return u8(p + 56, 200), 0;
}
int cuptiRangeProfilerCounterDataImageInitialize(uint8_t *p) {
    if (wrong(p, 40, CONFIGURED) || get(p + 24) != 200) return INVALID;
    return state = ROOM, memset((void *)get(p + 32), 1, 200), 0;
}
static uint8_t *data;
int cuptiRangeProfilerSetConfig(uint8_t *p) {
    const uint8_t *config = (uint8_t *)get(p + 32);
    uint16_t levels[2];
    memcpy(levels, p + 72, 4);
    if (wrong(p, 90, ROOM) || get(p + 16) != (uint64_t)&ranges || get(p + 24) != 100 || config[50] != 42 || get(p + 40) != 200) return INVALID;
    if (*(uint32_t *)(p + 56) != 1 || *(uint32_t *)(p + 60) != 2 || get(p + 64) < 1 || levels[0] != 1 || levels[1] != 1 || get(p + 80)) return INVALID;
    return state = SET, data = (uint8_t *)get(p + 48), 0;
}
int cuptiRangeProfilerStart(uint8_t *p) { return wrong(p, 24, SET) ? INVALID : (state = BEGUN, counted = launches(), 0); }
int cuptiRangeProfilerStop(uint8_t *p) {
    if (wrong(p, 41, BEGUN)) return INVALID;
    return state = STOPPED, counted = launches() - counted, p[40] = 1, 0;
}
int cuptiRangeProfilerDecodeData(uint8_t *p) {
    return wrong(p, 32, STOPPED) ? INVALID : (state = DECODED, memset(data, 2, 200), u8(p + 24, 0), 0);
}
int cuptiRangeProfilerGetCounterDataInfo(uint8_t *p) {
    const uint8_t *read = (uint8_t *)get(p + 16);
    return wrong(p, 40, DECODED) || get(p + 24) != 200 || read[199] != 2 ? INVALID : (u8(p + 32, counted), 0);
}
int cuptiProfilerHostEvaluateToGpuValues(uint8_t *p) {
    if (wrong(p, 72, DECODED) || get(p + 16) != (uint64_t)&host || get(p + 32) != 200 || get(p + 40) >= (uint64_t)counted || get(p + 56) != metrics) return INVALID;
    const char **names = (const char **)get(p + 48);
    double *values = (double *)get(p + 64);
    for (size_t i = 0; i < metrics; i++) values[i] = strstr(names[i], "dram__bytes.sum") == names[i] && !names[i][15] ? 5 * 4096 : i + 0.5;
    return 0;
}
int cuptiRangeProfilerDisable(uint8_t *p) { return get(p) != 24 || get(p + 16) != (uint64_t)&ranges ? INVALID : (state = OFF, 0); }
#endif
