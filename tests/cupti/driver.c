/* A CUDA driver with one GPU that takes every launch, executes none, and counts them for the pretended CUPTI beside it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void *handle;

int launches;

int cuDriverGetVersion(int *version) { return *version = 13000, 0; }
int cuInit(unsigned flags) { return flags; }
int cuGetErrorString(int status, const char **text) { return *text = "an error", 0; }
int cuDeviceGetCount(int *count) { return *count = 1, 0; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, 0; }
int cuDeviceGetName(char *name, int len, int device) { return strncpy(name, "Pretended GPU", len), device; }
int cuDeviceGetPCIBusId(char *bus, int len, int device) { return strncpy(bus, "0000:01:00.0", len), device; }
int cuDeviceGetUuid_v2(char *uuid, int device) { return memset(uuid, 7, 16), device; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = 1 << 30, device; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    return *value = attribute == 75 ? 8 : attribute == 76 ? 0 : attribute == 16 ? 2 : 65536, device;
}
int cuDevicePrimaryCtxRetain(handle *context, int device) { return *context = &cuInit, device; }
int cuCtxSetCurrent(handle context) { return context != &cuInit; }
int cuDevicePrimaryCtxRelease_v2(int device) { return device; }
int cuStreamCreate(handle *stream, unsigned flags) { return *stream = &cuStreamCreate, flags != 1; }
int cuStreamDestroy_v2(handle stream) { return stream != &cuStreamCreate; }
int cuStreamSynchronize(handle stream) { return stream != &cuStreamCreate; }
int cuMemGetInfo_v2(size_t *free, size_t *total) { return *free = *total = 1 << 30, 0; }
int cuModuleLoadDataEx(handle *module, const char *image, unsigned count, int *options, handle *values) { return *module = malloc(1), 0; }
int cuModuleGetFunction(handle *function, handle module, const char *name) { return *function = module, 0; }
int cuModuleUnload(handle module) { return free(module), 0; }
int cuFuncSetAttribute(handle function, int attribute, int value) { return 0; }
int cuMemAlloc_v2(uint64_t *address, size_t len) { return *address = (uint64_t)malloc(len), 0; }
int cuMemFree_v2(uint64_t address) { return free((void *)address), 0; }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t len, handle stream) { return memcpy((void *)to, from, len), 0; }
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t len, handle stream) { return memcpy(to, (void *)from, len), 0; }
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t len, handle stream) { return memcpy((void *)to, (void *)from, len), 0; }
int cuMemsetD8Async(uint64_t to, uint8_t byte, size_t len, handle stream) { return memset((void *)to, byte, len), 0; }
int cuLaunchKernelEx(const void *config, handle function, handle *arguments, handle *extra) { return launches++, !function; }
