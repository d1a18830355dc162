/* A machine's GPUs for tests: libnvidia-ml.so.1 as far as Roundhouse asks it, with the layouts of nvml.h.
 *
 * The file named by FAKE_NVML_STATE is read anew at every question, so that a test plays what happens to a
 * machine by replacing it; fields are separated by tabs:
 *
 *   driver   560.35.03
 *   device   0  GPU-1111  NVIDIA GeForce RTX 4090
 *   set      0  memory_total  25757220864     (bytes; likewise memory_used)
 *   set      0  utilisation   37              (percent)
 *   set      0  temperature   61              (degrees Celsius)
 *   set      0  power         180000          (milliwatt)
 *   set      0  energy        5000000         (millijoule)
 *   set      0  clocks_event_reasons     64    (bits; clocks_throttle_reasons of an older driver)
 *   set      0  ecc_uncorrected          0     (errors since the driver was loaded)
 *   set      0  events        8               (bits of the events that can be waited for)
 *   xid      0  79                            (an error; those that are there before a wait begins are past)
 *   process  0  4123  2422210560  /usr/bin/python3     (pid, bytes or "-", program)
 *   error    init  9            every nvmlInit returns this code
 *   error    0     15           every question about device 0 returns this code
 *
 * Each time somebody asks for the processes of a device, a byte is added to the file named by
 * FAKE_NVML_QUESTIONS, where there is one: a test can wait until its machine has been looked at.
 *
 * A wait for events ends with the first error that is new to it, or with the error of its device. A figure that
 * is not set is "not supported" (3).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SUCCESS 0
#define UNINITIALIZED 1
#define INVALID_ARGUMENT 2
#define NOT_SUPPORTED 3
#define NOT_FOUND 6
#define INSUFFICIENT_SIZE 7
#define DRIVER_NOT_LOADED 9
#define TIMEOUT 10
#define XID_EVENT 8ULL
#define POLL_MILLISECONDS 5
#define UNAVAILABLE 0xffffffffffffffffULL

typedef int nvmlReturn_t;
typedef struct device *nvmlDevice_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct {
    unsigned int pid;
    unsigned long long usedGpuMemory;
    unsigned int gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;

typedef struct {
    nvmlDevice_t device;
    unsigned long long eventType, eventData;
    unsigned int gpuInstanceId, computeInstanceId;
} nvmlEventData_t;
typedef struct eventSet { nvmlDevice_t device; int seen; } *nvmlEventSet_t;

static int users = 0;

/* The n-th line of the state that begins with the given fields; its rest goes to `rest`. */
static int find(const char *kind, const char *key, int n, char *rest, size_t size) {
    const char *path = getenv("FAKE_NVML_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512], begin[128];
    int found = 0;
    if (!file) return 0;
    snprintf(begin, sizeof begin, *key ? "%s\t%s\t" : "%s\t%s", kind, key);
    while (!found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, begin, strlen(begin)) == 0 && n-- == 0) {
            snprintf(rest, size, "%s", line + strlen(begin));
            found = 1;
        }
    }
    fclose(file);
    return found;
}

/* Handles are index + 1, so that none is NULL. */
static void key_of(nvmlDevice_t device, char *key) { sprintf(key, "%ld", (long)device - 1); }

static nvmlReturn_t check(nvmlDevice_t device, char *key) {
    char rest[512];
    if (!users) return UNINITIALIZED;
    if (!device) return INVALID_ARGUMENT;
    key_of(device, key);
    if (find("error", key, 0, rest, sizeof rest)) return atoi(rest);
    return SUCCESS;
}

static nvmlReturn_t figure(nvmlDevice_t device, const char *name, unsigned long long *value) {
    char key[96], rest[512];
    nvmlReturn_t code = check(device, key);
    if (code) return code;
    strcat(strcat(key, "\t"), name);
    if (!find("set", key, 0, rest, sizeof rest)) return NOT_SUPPORTED;
    *value = strtoull(rest, NULL, 10);
    return SUCCESS;
}

static nvmlReturn_t answer(char *to, unsigned int size, const char *text) {
    if (strlen(text) >= size) return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return SUCCESS;
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) {
    char rest[512];
    (void)flags;
    if (find("error", "init", 0, rest, sizeof rest)) return atoi(rest);
    if (!find("driver", "", 0, rest, sizeof rest)) return DRIVER_NOT_LOADED;
    users++;
    return SUCCESS;
}

nvmlReturn_t nvmlShutdown(void) {
    if (!users) return UNINITIALIZED;
    users--;
    return SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t code) {
    (void)code;
    return "an error of the fake driver";
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int size) {
    char rest[512];
    if (!users) return UNINITIALIZED;
    if (!find("driver", "", 0, rest, sizeof rest)) return NOT_SUPPORTED;
    return answer(version, size, rest);
}

nvmlReturn_t nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int size) {
    char key[32], rest[512];
    for (int device = 0; device < 8; device++) {
        sprintf(key, "%d\t%u", device, pid);
        if (find("process", key, 0, rest, sizeof rest)) return answer(name, size, strchr(rest, '\t') + 1);
    }
    return NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    char rest[512];
    if (!users) return UNINITIALIZED;
    for (*count = 0; find("device", "", (int)*count, rest, sizeof rest); ++*count) { }
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    char key[96];
    unsigned int count;
    nvmlReturn_t code = nvmlDeviceGetCount_v2(&count);
    if (code) return code;
    if (index >= count) return INVALID_ARGUMENT;
    *device = (nvmlDevice_t)((long)index + 1);
    return check(*device, key);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int size) {
    char key[96], rest[512];
    nvmlReturn_t code = check(device, key);
    if (code) return code;
    if (!find("device", key, 0, rest, sizeof rest)) return NOT_SUPPORTED;
    *strchr(rest, '\t') = 0;
    return answer(uuid, size, rest);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    char own[128];
    for (unsigned int index = 0; nvmlDeviceGetHandleByIndex_v2(index, device) != INVALID_ARGUMENT; index++)
        if (nvmlDeviceGetUUID(*device, own, sizeof own) == SUCCESS && strcmp(own, uuid) == 0) return SUCCESS;
    return NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int size) {
    char key[96], rest[512];
    nvmlReturn_t code = check(device, key);
    if (code) return code;
    if (!find("device", key, 0, rest, sizeof rest)) return NOT_SUPPORTED;
    return answer(name, size, strchr(rest, '\t') + 1);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    nvmlReturn_t code = figure(device, "memory_total", &memory->total);
    if (code) return code;
    code = figure(device, "memory_used", &memory->used);
    memory->free = memory->total - memory->used;
    return code;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilisation) {
    unsigned long long percent = 0;
    nvmlReturn_t code = figure(device, "utilisation", &percent);
    utilisation->gpu = (unsigned int)percent;
    utilisation->memory = 0;
    return code;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned int *celsius) {
    unsigned long long value = 0;
    nvmlReturn_t code = figure(device, "temperature", &value);
    if (sensor != 0) return INVALID_ARGUMENT;
    *celsius = (unsigned int)value;
    return code;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *milliwatt) {
    unsigned long long value = 0;
    nvmlReturn_t code = figure(device, "power", &value);
    *milliwatt = (unsigned int)value;
    return code;
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *millijoule) {
    return figure(device, "energy", millijoule);
}

static void note_question(void) {
    const char *path = getenv("FAKE_NVML_QUESTIONS");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) return;
    fputc('.', file);
    fclose(file);
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
                                                     nvmlProcessInfo_t *processes) {
    char key[96], rest[512];
    unsigned int room = *count, listed = 0;
    nvmlReturn_t code = check(device, key);
    if (code) return code;
    note_question();
    for (; find("process", key, (int)listed, rest, sizeof rest); listed++) {
        if (!processes || listed >= room) continue;
        processes[listed].pid = (unsigned int)atoi(rest);
        char *memory = strchr(rest, '\t') + 1;
        processes[listed].usedGpuMemory = *memory == '-' ? UNAVAILABLE : strtoull(memory, NULL, 10);
        processes[listed].gpuInstanceId = processes[listed].computeInstanceId = 0xffffffffU;
    }
    *count = listed;
    return listed > room || (listed && !processes) ? INSUFFICIENT_SIZE : SUCCESS;
}

static nvmlReturn_t reasons(nvmlDevice_t device, const char *name, unsigned long long *bits) {
    *bits = 0;
    return figure(device, name, bits);
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *bits) {
    return reasons(device, "clocks_event_reasons", bits);
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *bits) {
    return reasons(device, "clocks_throttle_reasons", bits);
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, int type, int since, unsigned long long *count) {
    return type == 1 && since == 0 ? figure(device, "ecc_uncorrected", count) : NOT_SUPPORTED;
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) {
    if (!users) return UNINITIALIZED;
    *set = calloc(1, sizeof **set);
    return SUCCESS;
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) {
    free(set);
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set) {
    unsigned long long supported;
    char key[96], rest[512];
    nvmlReturn_t code = figure(device, "events", &supported);
    if (code) return code;
    if (types & ~supported) return NOT_SUPPORTED;
    set->device = device;
    for (key_of(device, key); find("xid", key, set->seen, rest, sizeof rest); set->seen++) { }
    return SUCCESS;
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *event, unsigned int milliseconds) {
    const struct timespec pause = {0, POLL_MILLISECONDS * 1000000L};
    char key[96], rest[512];
    for (unsigned int waited = 0; waited <= milliseconds; waited += POLL_MILLISECONDS) {
        nvmlReturn_t code = check(set->device, key);
        if (code) return code;
        if (find("xid", key, set->seen, rest, sizeof rest)) {
            set->seen++;
            *event = (nvmlEventData_t){set->device, XID_EVENT, strtoull(rest, NULL, 10), ~0U, ~0U};
            return SUCCESS;
        }
        nanosleep(&pause, NULL);
    }
    return TIMEOUT;
}
