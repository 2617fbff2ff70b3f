/* A CUDA driver with one GPU that computes add.u16 over a block's memory, and misbehaves as MODE says. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define RIGHT 0
#define NO_GPU 1
#define ONE_BIT 2
#define REFUSES 3
#define DIES 4
#define OLD 5

typedef void *handle;
typedef struct {
    unsigned x, y, z, bx, by, bz, shared;
    handle stream, attributes;
    unsigned count;
} config;

int cuDriverGetVersion(int *version) { return *version = MODE == OLD ? 11080 : 12040, 0; }
int cuInit(unsigned flags) { return flags; }
int cuGetErrorString(int status, const char **text) {
    *text = status == 218 ? "a PTX JIT compilation failed" : "an illegal memory access was encountered";
    return 0;
}
int cuDeviceGetCount(int *count) { return *count = MODE != NO_GPU, 0; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, 0; }
int cuDeviceGetName(char *name, int len, int device) { return strncpy(name, "Pretended GPU", len), device; }
int cuDeviceGetPCIBusId(char *bus, int len, int device) { return strncpy(bus, "0000:01:00.0", len), device; }
int cuDeviceGetUuid_v2(char *uuid, int device) { return memset(uuid, 7, 16), device; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = 1 << 30, device; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { return *value = attribute == 75 ? 9 : 0, device; }
int cuDevicePrimaryCtxRetain(handle *context, int device) { return *context = &cuInit, device; }
int cuCtxSetCurrent(handle context) { return context != &cuInit; }
int cuDevicePrimaryCtxRelease_v2(int device) { return device; }
int cuStreamCreate(handle *stream, unsigned flags) { return *stream = &cuStreamCreate, flags != 1; }
int cuStreamDestroy_v2(handle stream) { return stream != &cuStreamCreate; }
int cuStreamSynchronize(handle stream) { return stream != &cuStreamCreate ? 1 : MODE == DIES ? 700 : 0; }

int cuModuleLoadDataEx(handle *module, const char *text, unsigned count, int *options, handle *values) {
    if (MODE == REFUSES) {
        if (count == 2 && options[0] == 5 && options[1] == 6 && (uintptr_t)values[1] > 80)
            strcpy(values[0], "ptxas application ptx input, line 11; error: not this one");
        return 218;
    }
    if (!strstr(text, ".target sm_90a") || !strstr(text, "add.u16 d, a, b;")) return 1;
    *module = malloc(1);
    return 0;
}
int cuModuleGetFunction(handle *function, handle module, const char *name) { return *function = module, strcmp(name, "k") != 0; }
int cuModuleUnload(handle module) { return free(module), 0; }
int cuMemAlloc_v2(uint64_t *address, size_t len) { return *address = (uint64_t)malloc(len), 0; }
int cuMemFree_v2(uint64_t address) { return free((void *)address), 0; }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t len, handle stream) { return memcpy((void *)to, from, len), stream != &cuStreamCreate; }
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t len, handle stream) { return memcpy(to, (void *)from, len), stream != &cuStreamCreate; }

int cuLaunchKernelEx(const config *c, handle function, handle *arguments, handle *extra) {
    if (!function || c->x * c->y * c->z * c->by * c->bz != 1 || c->shared || c->stream != &cuStreamCreate || c->count || extra) return 1;
    uint16_t *row = (void *)*(uint64_t *)arguments[0];
    for (unsigned i = 0; i < c->bx; i++, row += 16) row[0] = row[4] + row[8] + (MODE == ONE_BIT && i == 3);
    return 0;
}
