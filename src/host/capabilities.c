/*
 * host/capabilities.c - the <host> part of the capabilities document (CPU-06)
 */
#include "host/capabilities.h"

#include "base/str.h"
#include "host/host-cpu.h"
#include "host/node-read.h"
#include "host/node.h"

#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>

/* Model and vendor; what the driver says about the model counts only when nothing is known of the processor. */
static void put_cpu_model(const HostCapabilities *known, const HostCpu *cpu, Buf *ret)
{
        const char *model = cpu->model ? cpu->model->model : known->cpu_model;

        if (!model)
                return;
        buf_format(ret, "      <model>%s</model>\n", model);
        if (cpu->vendor)
                buf_format(ret, "      <vendor>%s</vendor>\n", cpu->vendor);
}

static void put_cpu(const char *root, const HostCapabilities *known, const NodeInfo *info, Arena *arena, Buf *ret)
{
        NodeCpuModel model = { 0 };
        HostCpu cpu = { 0 };
        struct utsname name;

        uname(&name);
        buf_format(ret, "    <cpu>\n      <arch>%s</arch>\n", name.machine);
        host_cpu(root, arena, &cpu, NULL);
        put_cpu_model(known, &cpu, ret);
        node_cpu_model(root, arena, &model, NULL);
        if (model.tsc_hz && model.constant_tsc)
                buf_format(ret, "      <counter name='tsc' frequency='%" PRIu64 "' scaling='%s'/>\n", model.tsc_hz,
                           model.flags && strstr(model.flags, "tsc_scal") ? "yes" : "no");
        buf_format(ret, "      <topology sockets='%u' dies='1' cores='%u' threads='%u'/>\n", info->sockets,
                   info->cores, info->threads);
        for (uint32_t i = 0; cpu.model && i < cpu.model->n_features; i++)
                buf_format(ret, "      <feature name='%s'/>\n", cpu.model->features[i]->name);
        buf_put_text(ret, "    </cpu>\n");
}

/* The kernel lists what it can do: "freeze mem disk"; sleeping to memory and disk is what clients ask for. */
static void put_power_management(const char *root, Buf *ret)
{
        static const char *const states[][2] = { { "mem", "suspend_mem" }, { "disk", "suspend_disk" } };
        AUTO_STRLIST words = NULL;
        AUTO(Buf) text = { 0 };
        bool any = false;

        node_read(root, "/sys/power/state", &text, NULL);
        words = str_split(buf_text(&text), " \n");
        for (size_t i = 0; i < ARRAY_LEN(states); i++) {
                for (char **w = words; *w; w++) {
                        if (!str_eq(*w, states[i][0]))
                                continue;
                        if (!any)
                                buf_put_text(ret, "    <power_management>\n");
                        buf_format(ret, "      <%s/>\n", states[i][1]);
                        any = true;
                }
        }
        buf_put_text(ret, any ? "    </power_management>\n" : "    <power_management/>\n");
}

static void put_migration(const HostCapabilities *known, Buf *ret)
{
        if (!known->migration_uris)
                return;
        buf_put_text(ret, "    <migration_features>\n      <live/>\n      <uri_transports>\n");
        for (const char *const *uri = known->migration_uris; *uri; uri++)
                buf_format(ret, "        <uri_transport>%s</uri_transport>\n", *uri);
        buf_put_text(ret, "      </uri_transports>\n    </migration_features>\n");
}

static void put_cell(const NodeTopology *topology, const NodeCell *cell, Buf *ret)
{
        buf_format(ret, "        <cell id='%u'>\n          <memory unit='KiB'>%" PRIu64 "</memory>\n", cell->id,
                   cell->memory_kib);
        for (size_t i = 0; i < cell->n_pages; i++)
                buf_format(ret, "          <pages unit='KiB' size='%" PRIu64 "'>%" PRIu64 "</pages>\n",
                           cell->pages[i].size_kib, cell->pages[i].total);
        if (cell->n_distances == topology->n_cells) {
                buf_put_text(ret, "          <distances>\n");
                for (size_t i = 0; i < cell->n_distances; i++)
                        buf_format(ret, "            <sibling id='%u' value='%u'/>\n", topology->cells[i].id,
                                   cell->distances[i]);
                buf_put_text(ret, "          </distances>\n");
        }
        buf_format(ret, "          <cpus num='%zu'>\n", cell->n_cpus);
        for (size_t i = 0; i < cell->n_cpus; i++) {
                const NodeCpu *cpu = &cell->cpus[i];
                AUTOFREE char *siblings = bitmap_format(&cpu->siblings);

                buf_format(ret, "            <cpu id='%u' socket_id='%u' die_id='%u' core_id='%u' siblings='%s'/>\n",
                           cpu->id, cpu->socket, cpu->die, cpu->core, siblings);
        }
        buf_put_text(ret, "          </cpus>\n        </cell>\n");
}

int host_capabilities_format(const char *root, const HostCapabilities *known, Buf *ret, Error *err)
{
        AUTO(Arena) *arena = arena_new();
        char uuid[UUID_TEXT_LEN + 1];
        NodeTopology topology;
        NodeInfo info;

        if (node_info(root, &info, err) < 0 || node_topology(root, arena, &topology, err) < 0)
                return -1;
        buf_format(ret, "  <host>\n    <uuid>%s</uuid>\n", uuid_format(&known->uuid, uuid));
        put_cpu(root, known, &info, arena, ret);
        put_power_management(root, ret);
        put_migration(known, ret);
        buf_format(ret, "    <topology>\n      <cells num='%zu'>\n", topology.n_cells);
        for (size_t i = 0; i < topology.n_cells; i++)
                put_cell(&topology, &topology.cells[i], ret);
        buf_put_text(ret, "      </cells>\n    </topology>\n");
        if (known->secmodel)
                buf_format(ret, "    <secmodel>\n      <model>%s</model>\n      <doi>%s</doi>\n    </secmodel>\n",
                           known->secmodel, known->secdoi);
        buf_put_text(ret, "  </host>\n");
        return 0;
}
