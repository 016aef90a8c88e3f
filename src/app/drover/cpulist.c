/*
 * app/drover/cpulist.c - read and write sets of host CPUs
 */
#include "app/drover/cpulist.h"

#include "app/drover/common.h"
#include "base/str.h"

int cpulist_host_cpus(Session *s, uint32_t *ret, Error *err)
{
        WireNodeGetCpuMapRet map;
        WireNodeGetInfoRet info;

        if (session_call(s, WIRE_PROC_NODE_GET_CPU_MAP, &(WireNodeGetCpuMapArgs){ 0, 0, 0 }, &map, NULL) == 0) {
                *ret = (uint32_t)map.ret;
                return 0;
        }
        if (session_call(s, WIRE_PROC_NODE_GET_INFO, NULL, &info, err) < 0)
                return -1;
        *ret = (uint32_t)(info.nodes * info.sockets * info.cores * info.threads);
        return 0;
}

bool cpulist_has(const uint8_t *bits, uint32_t n_bytes, uint32_t cpu)
{
        return cpu / 8 < n_bytes && (bits[cpu / 8] >> (cpu % 8)) & 1;
}

static int parse_range(const char *text, uint32_t *first, uint32_t *last)
{
        const char *dash = strchr(text, '-');
        AUTOFREE char *start = dash ? str_dup_n(text, (size_t)(dash - text)) : str_dup(text);

        if (str_to_u32(start, first) < 0)
                return -1;
        *last = *first;
        if (dash && str_to_u32(dash + 1, last) < 0)
                return -1;
        return *last < *first ? -1 : 0;
}

int cpulist_parse(Arena *arena, const char *text, uint32_t n_cpus, CpuMap *ret, Error *err)
{
        AUTO_STRLIST words = str_split(text, ",");
        CpuMap map = { .n_cpus = n_cpus, .n_bytes = (n_cpus + 7) / 8 };
        bool any = false;

        map.bits = arena_new_array(arena, uint8_t, map.n_bytes + 1);
        for (char **word = words; *word; word++) {
                bool out = **word == '^';
                uint32_t first = 0, last = n_cpus - 1;

                if (!str_eq(*word, "r") && parse_range(*word + out, &first, &last) < 0)
                        return err_set(err, ERR_INVALID_ARG, "Invalid cpulist '%s'", text);
                for (uint32_t cpu = first; cpu <= last && cpu < n_cpus; cpu++) {
                        if (out)
                                map.bits[cpu / 8] &= (uint8_t) ~(1U << (cpu % 8));
                        else
                                map.bits[cpu / 8] |= (uint8_t)(1U << (cpu % 8));
                }
        }
        for (uint32_t i = 0; i < map.n_bytes; i++)
                any = any || map.bits[i];
        if (!any)
                return err_set(err, ERR_INVALID_ARG, "No CPU specified in '%s' or out of range; the host has %u",
                               text, n_cpus);
        *ret = map;
        return 0;
}

char *cpulist_format(const uint8_t *bits, uint32_t n_bytes, uint32_t n_cpus)
{
        AUTO(Buf) text = { 0 };

        for (uint32_t cpu = 0; cpu < n_cpus; cpu++) {
                uint32_t last = cpu;

                if (!cpulist_has(bits, n_bytes, cpu))
                        continue;
                while (last + 1 < n_cpus && cpulist_has(bits, n_bytes, last + 1))
                        last++;
                buf_format(&text, "%s%u", text.len ? "," : "", cpu);
                if (last > cpu)
                        buf_format(&text, "-%u", last);
                cpu = last;
        }
        return str_dup(buf_text(&text));
}
